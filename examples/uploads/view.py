"""What one sees while it runs: on a terminal a picture that is drawn again, elsewhere a line every few seconds."""

import shutil
import sys
from datetime import datetime, timezone

WIDTH = 30
LINE_EVERY = 5.0


def time_of(text):
    return datetime.fromisoformat(text.replace("Z", "+00:00"))


def seconds(earlier, later=None):
    """From one of acceptd's times to another, or to now."""
    later = time_of(later) if later else datetime.now(timezone.utc)
    return (later - time_of(earlier)).total_seconds()


def clock(span):
    return f"{int(span) // 60}:{int(span) % 60:02}"


def ends(operation):
    if operation["done"]:
        return f"{operation['status']} after {clock(seconds(operation['createTime'], operation['endTime']))}"
    if operation["estimatedEndTime"]:
        return f"about {clock(seconds(operation['createTime'], operation['estimatedEndTime']))} in all"
    return "nobody knows yet how long"


def waits(operation):
    """What most of each consumer's deliveries wait for, in acceptd's own words."""
    by_consumer = {}
    for wait in sorted(operation["waitingOn"], key=lambda wait: wait["count"]):
        first = f"the first of {wait['count']} " if wait["count"] > 1 else ""
        by_consumer[wait["consumer"]] = f"{wait['consumer']}: {first}{wait['message']}"
    return [by_consumer[name] for name in sorted(by_consumer)]


class View:
    def __init__(self):
        self.drawn = 0
        self.said = -LINE_EVERY

    def show(self, alice, bob, counts):
        since = seconds(alice["createTime"])
        if sys.stdout.isatty():
            self.draw(since, alice, bob, counts)
        elif since >= self.said + LINE_EVERY:
            self.said = since
            progress, refused = alice["progress"], sum(count["refused"] for count in counts.values())
            head = f"{clock(since)}  {progress['done']} of {progress['total']} done, {progress['failed']} failed"
            print(f"{head}, {refused} refused, {ends(alice)}", *waits(alice)[:1], sep="; ", flush=True)

    def draw(self, since, alice, bob, counts):
        lines = [f"{clock(since)}"]
        for name, operation in (("alice", alice), ("bob", bob)):
            if not operation:
                continue
            progress = operation["progress"]
            full = WIDTH * progress["done"] // max(1, progress["total"])
            bar = "█" * full + "░" * (WIDTH - full)
            tally = f"{progress['done']} of {progress['total']} done, {progress['failed']} failed"
            lines.append(f"  {name:<6} {bar} {tally}, {ends(operation)}")
        lines += ["", *(f"  {line}" for line in waits(alice)), ""]
        for name, count in counts.items():
            seen = f"{count['requests']:>5} requests {count['refused']:>5} refused (429) {count['inWork']:>3} in work"
            lines.append(f"  {name:<7} {seen}")
        columns = shutil.get_terminal_size().columns
        up = f"\033[{self.drawn}F\033[J" if self.drawn else ""
        print(up + "\n".join(line[: columns - 1] for line in lines), flush=True)
        self.drawn = len(lines)
