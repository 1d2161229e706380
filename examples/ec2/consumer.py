"""The consumer behind acceptd: two plain HTTP endpoints that acceptd calls, as often as it takes.

    POST /start-ec2     takes `ec2.start`, launches a machine, waits until it runs, emits `ec2.started`
    POST /ec2-started   takes `ec2.started`, emits `alarm.create`: the owner's notification

Usage: consumer.py PORT
"""

import sys
import threading

from botocore.exceptions import ClientError

import machine
from web import Answer, problem, serve

OUTCOME = "application/vnd.acceptd.outcome+json"
THROTTLED = {"RequestLimitExceeded", "Throttling", "InsufficientInstanceCapacity"}

# Two attempts of one delivery can overlap: acceptd was killed, the first attempt is still at work here.
# So that the second finds what the first launches, only one looks and launches at a time. Waiting is not under it.
launching = threading.Lock()


def start_ec2(request):
    try:
        ami, instance_type = request.data["ami"], request.data["instanceType"]
    except (KeyError, TypeError):
        return problem(422, "ami and instanceType are needed")  # 4xx: acceptd does not try again
    delivery = request.headers["Acceptd-Delivery"]  # the same in every attempt
    attempt = request.headers["Acceptd-Attempt"]
    try:
        with launching:
            instance = machine.find(delivery)
            if instance:
                print(f"attempt {attempt}: {instance} was launched by an earlier attempt", flush=True)
            else:
                instance = machine.launch(ami, instance_type, delivery)
                print(f"attempt {attempt}: launched {instance}", flush=True)
        machine.wait_until_running(instance)
    except ClientError as error:
        return refused(error.response["Error"])
    print(f"attempt {attempt}: {instance} is running", flush=True)
    started = {"type": "ec2.started", "data": {"instanceId": instance, "instanceType": instance_type}}
    return Answer(200, {"result": {"instanceId": instance}, "emit": [started]}, OUTCOME)


def refused(error):
    """What EC2's refusal means for acceptd: later (429), never (422) or again (500)."""
    code, message = error["Code"], error.get("Message", "")
    if code in THROTTLED:
        return problem(429, code, message, **{"Retry-After": "5"})
    if code.startswith("Invalid"):
        return problem(422, code, message)
    return problem(500, code, message)


def ec2_started(request):
    data = request.data
    alarm = {
        "title": f"{data['instanceId']} is running",
        "text": f"Your {data['instanceType']} machine is ready.",
        "level": "success",
    }
    return Answer(200, {"emit": [{"type": "alarm.create", "data": alarm}]}, OUTCOME)


if __name__ == "__main__":
    serve(int(sys.argv[1]), {"POST /start-ec2": start_ec2, "POST /ec2-started": ec2_started})
