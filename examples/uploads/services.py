"""Three services that really count, each on a free loopback port of its own.

Each takes RATE requests a second, and from the accounts in ONE_AT_A_TIME one at a time. It answers what is more with
429 and Retry-After, works TAKES seconds on what it takes, and writes every request down.

    POST /          {"item", "account"}: 200 after TAKES seconds, or 429 at once
    GET /count      what was seen so far, in numbers
    GET /requests   every request: item, account, status, when it came and when it was answered

Usage: services.py [--takes SECONDS]     prints the three addresses as acceptd's environment has them
"""

import argparse
import asyncio
import json
import math
import time
from collections import Counter, deque

NAMES = ("drive", "search", "thumbs")
ONE_AT_A_TIME = ("studio", "archive")
RATE = 2  # a second: in no time t more than 1 + RATE * t
TOLERANCE = 0.005  # seconds by which the way here may shift two requests against each other


class Service:
    def __init__(self, takes):
        self.takes = takes
        self.written = []  # every request
        self.next = 0.0  # when the next one may come
        self.ends = {}  # when each account's latest will be done
        self.in_work = Counter()  # by account
        self.recent = deque()  # when those of the last second came
        self.most = Counter()  # at once, and in a second

    async def take(self, came, item, account):
        request = {"item": item, "account": account, "status": 429, "came": came, "answered": came}
        self.written.append(request)
        self.recent.append(came)
        while self.recent[0] <= came - 1:
            self.recent.popleft()
        self.most["in a second"] = max(self.most["in a second"], len(self.recent))
        busy = account in ONE_AT_A_TIME and self.in_work[account]
        if busy or came < self.next - TOLERANCE:
            wait = self.ends[account] - came if busy else self.next - came
            return 429, {"error": "one at a time" if busy else f"{RATE} a second"}, max(1, math.ceil(wait))
        self.next = max(self.next, came) + 1 / RATE
        self.ends[account] = came + self.takes
        self.in_work[account] += 1
        self.most["in work"] = max(self.most["in work"], self.in_work.total())
        await asyncio.sleep(self.takes)
        self.in_work[account] -= 1
        request |= {"status": 200, "answered": time.monotonic()}
        return 200, {"item": item}, 0

    def count(self):
        ok = [request["item"] for request in self.written if request["status"] == 200]
        working = self.in_work.total()
        return {
            "requests": len(self.written),
            "ok": len(ok),
            "items": len(set(ok)),
            "refused": len(self.written) - len(ok) - working,
            "inWork": working,
            "mostInWork": self.most["in work"],
            "mostInASecond": self.most["in a second"],
        }

    async def answer(self, reader, writer):
        """Answers the requests of a connection, one after the other."""
        try:
            while head := (await reader.readuntil(b"\r\n\r\n")).decode():
                came = time.monotonic()
                fields = dict(line.lower().split(": ", 1) for line in head.split("\r\n")[1:-2])
                body = await reader.readexactly(int(fields.get("content-length", 0)))
                status, content, wait = 200, self.written, 0
                if head.startswith("POST / "):
                    data = json.loads(body)
                    status, content, wait = await self.take(came, data["item"], data["account"])
                elif head.startswith("GET /count "):
                    content = self.count()
                content = json.dumps(content)
                retry = f"Retry-After: {wait}\r\n" if wait else ""
                kind = f"Content-Type: application/json\r\nContent-Length: {len(content)}"
                writer.write(f"HTTP/1.1 {status} \r\n{retry}{kind}\r\n\r\n{content}".encode())
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()  # the other side did


async def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--takes", type=float, default=10)
    takes = parser.parse_args().takes
    for name in NAMES:
        server = await asyncio.start_server(Service(takes).answer, "127.0.0.1", 0)
        host, port = server.sockets[0].getsockname()
        print(f"ACCEPTD_CONSUMERS__{name.upper()}__URL=http://{host}:{port}/", flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main())
