"""alice uploads many items at once, bob a single one a little later. Watches until both have ended, and judges.

Usage: upload.py [--items N] [--takes SECONDS] [--learn]

--learn   nobody told acceptd what the services allow: only what is lost is a failure, not 429s and the time they cost

The environment says where acceptd and the services are. The exit code is 1 when a verdict is FAIL.
"""

import argparse
import json
import os
import sys
import time
import urllib.request

from judge import judge
from services import NAMES, ONE_AT_A_TIME, RATE
from view import View, seconds

ACCEPTD = os.environ["ACCEPTD_URL"]
BOB_COMES_AFTER = 5.0
PATIENCE = {False: 4, True: 50}  # times the least, by whether acceptd has to learn


def ask(url, body=None, owner=""):
    headers = {"Content-Type": "application/json", "Acceptd-Owner": owner} if body else {}
    request = urllib.request.Request(url, json.dumps(body).encode() if body else None, headers)
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.load(answer)


def send(owner, data):
    return ask(f"{ACCEPTD}/v1/events/upload.item", data, owner)


def item(name, account):
    """What has the same turn is never in work at the same time."""
    return {"item": name, "account": account, "turn": account if account in ONE_AT_A_TIME else name}


def items(count):
    """Every fifth of the first 50 belongs to an account that allows one at a time."""
    strict = {n: ONE_AT_A_TIME[n // 5 % len(ONE_AT_A_TIME)] for n in range(0, 50, 5)}
    return [item(f"alice-{n + 1}", strict.get(n, "team")) for n in range(count)]


def counts():
    return {name: ask(os.environ[f"ACCEPTD_CONSUMERS__{name.upper()}__URL"] + "count") for name in NAMES}


def follow(count, patience):
    """Both operations at their end, and how long alice's was to take yet, by acceptd, when a tenth had ended."""
    alice, bob, estimate = send("alice", {"items": items(count)}), None, None
    view, start = View(), time.monotonic()
    while not (bob and alice["done"] and bob["done"]):
        time.sleep(0.5)
        passed = time.monotonic() - start
        if passed > patience:
            sys.exit(f"waited {patience:.0f} s in vain for the end")
        alice = ask(alice["links"]["self"])
        if bob or passed >= BOB_COMES_AFTER:
            bob = ask(bob["links"]["self"]) if bob else send("bob", item("bob-1", "team"))
        progress, end = alice["progress"], alice["estimatedEndTime"]
        if not estimate and end and progress["done"] * 10 >= progress["total"]:
            passed = seconds(alice["createTime"])
            estimate = {"after": passed, "left": seconds(alice["createTime"], end) - passed}
        view.show(alice, bob, counts())
    return alice, bob, estimate


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--items", type=int, default=200)
    parser.add_argument("--takes", type=float, default=10)
    parser.add_argument("--learn", action="store_true")
    args = parser.parse_args()
    least = args.items / RATE + args.takes  # the last of alice's items and bob's starts after so many intervals
    alice, bob, estimate = follow(args.items, PATIENCE[args.learn] * least)
    sys.exit(judge(alice, bob, estimate, counts(), args.items + 1, least, args.learn))


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)
