"""What run.sh sees with: small looks at the servers, each with a deadline.

    look.py ports N                     N free ports of this machine
    look.py up URL                      waits until somebody answers there
    look.py post URL BODY FILE          posts for user-42, shows the answer, keeps it in FILE
    look.py get URL FILE                the same for a GET, without showing it
    look.py follow URL FILE             follows an operation until it ends, keeps the last answer in FILE
    look.py notifications URL FILE      waits for a notification, keeps all in FILE
    look.py field FILE a.b              a field of what was kept
    look.py count FILE                  how many are in the list that was kept
    look.py machine STATE               waits until the cloud has a machine in this state
    look.py machines                    the machines, one per line
    look.py reset                       empties the cloud
"""

import contextlib
import json
import os
import socket
import sys
import time
import urllib.error
import urllib.request

OWNER = "user-42"
PATIENCE = 90.0
SHOWN = ("Location", "Operation-Location", "Content-Location", "Retry-After", "Content-Type")


def until(what, look, every=0.05):
    """Looks until there is something to see; the deadline is for what will never come."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        if seen := look():
            return seen
        time.sleep(every)
    sys.exit(f"waited {PATIENCE:.0f} s in vain for {what}")


def ask(method, url, body=None, **headers):
    """The answer to a request, whatever its status is; None when nobody answers."""
    headers = {"Content-Type": "application/json"} | {k.replace("_", "-"): v for k, v in headers.items()}
    request = urllib.request.Request(url, body and body.encode(), headers, method=method)
    start = time.monotonic()
    try:
        response = urllib.request.urlopen(request, timeout=PATIENCE)
    except urllib.error.HTTPError as error:
        response = error
    except OSError:
        return None
    text = response.read().decode()
    milliseconds = round(1000 * (time.monotonic() - start))
    try:
        content = json.loads(text)
    except ValueError:
        content = text
    return {
        "status": response.status,
        "reason": response.reason,
        "milliseconds": milliseconds,
        "headers": dict(response.headers.items()),
        "body": content,
    }


def answered(method, url, body=None, **headers):
    answer = ask(method, url, body, **headers)
    if answer is None:
        sys.exit(f"nobody answers at {url}")
    return answer


def keep(file, value):
    with open(file, "w") as out:
        json.dump(value, out)


def kept(file):
    with open(file) as content:
        return json.load(content)


def ports(count):
    with contextlib.ExitStack() as stack:
        for _ in range(int(count)):
            listener = stack.enter_context(socket.socket())
            listener.bind(("127.0.0.1", 0))
            print(listener.getsockname()[1])


def up(url):
    until(f"an answer from {url}", lambda: (answer := ask("GET", url)) and answer["status"] != 503)


def post(url, body, file):
    answer = answered("POST", url, body, Acceptd_Owner=OWNER)
    keep(file, answer)
    print(f"   HTTP {answer['status']} {answer['reason']}")
    for name, value in answer["headers"].items():
        if name.lower() in map(str.lower, SHOWN):
            print(f"   {name.lower()}: {value}")
    content = answer["body"]
    fields = ("id", "status", "type", "owner", "createTime", "instanceId", "detail", "title")
    print("   " + json.dumps({name: content[name] for name in fields if name in content}))


def get(url, file):
    keep(file, answered("GET", url))


def follow(url, file):
    said = None

    def look():
        nonlocal said
        answer = answered("GET", url, Prefer="wait=5")
        operation = answer["body"]
        waits = [wait.get("message") for wait in operation.get("waitingOn") or []]
        line = " ".join([f"{operation['status']:<10}", *filter(None, waits[:1])]).strip()
        if line != said:
            print(f"   {line}", flush=True)
            said = line
        return operation["done"] and answer

    keep(file, until("the end of the operation", look, every=0.2))


def listed(url):
    """The entries of a list, whether it comes bare or as a page."""
    page = answered("GET", url)["body"]
    return page if isinstance(page, list) else next(v for v in page.values() if isinstance(v, list))


def notifications(url, file):
    until("a notification", lambda: listed(url))
    watched = time.monotonic() + 1.0  # a second one would be an error: give it the time to show itself
    while len(found := listed(url)) == 1 and time.monotonic() < watched:
        time.sleep(0.1)
    keep(file, found)
    for one in found:
        print("   " + json.dumps({name: one.get(name) for name in ("owner", "level", "title", "text")}))


def field(file, path):
    value = kept(file)
    for name in path.split("."):
        value = value[name]
    print(value if isinstance(value, (str, int)) else json.dumps(value))


def count(file):
    value = kept(file)
    print(len(value["body"] if isinstance(value, dict) else value))


def all_machines():
    import boto3

    reservations = boto3.client("ec2").describe_instances()["Reservations"]
    return [(i["InstanceId"], i["State"]["Name"]) for r in reservations for i in r["Instances"]]


def machine(state):
    until(f"a machine that is {state}", lambda: any(found == state for _, found in all_machines()))


def machines():
    for instance, state in all_machines():
        print(f"{instance} {state}")


def reset():
    answered("POST", os.environ["AWS_ENDPOINT_URL"] + "/moto-api/reset")


if __name__ == "__main__":
    commands = (ports, up, post, get, follow, notifications, field, count, machine, machines, reset)
    {command.__name__: command for command in commands}[sys.argv[1]](*sys.argv[2:])
