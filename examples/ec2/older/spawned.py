"""The second way: answer 202 at once and do the work in a thread of the API server.

The caller is free, but the promise lives in this process's memory. A crash or a deploy takes the thread, the record
of the operation and the notification with it; a machine that was being launched stays behind and nobody knows of it.

Usage: spawned.py PORT
"""

import sys
import threading
import uuid
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

import machine
from web import Answer, problem, serve

operations = {}
notifications = []


def start_ec2(request):
    operation = {"id": str(uuid.uuid4()), "status": "running"}
    operations[operation["id"]] = operation
    owner = request.headers["Acceptd-Owner"]
    threading.Thread(target=work, args=(operation, owner, request.data)).start()
    location = f"/operations?id={operation['id']}"
    return Answer(202, operation, headers={"Location": location, "Operation-Location": location})


def work(operation, owner, data):
    instance = machine.launch(data["ami"], data["instanceType"])
    machine.wait_until_running(instance)
    operation["status"] = "succeeded"
    notifications.append({"owner": owner, "title": f"{instance} is running"})


def show_operation(request):
    operation = operations.get(request.query["id"][0])
    return Answer(200, operation) if operation else problem(404, "there is no such operation")


def show_notifications(request):
    return Answer(200, [n for n in notifications if n["owner"] == request.query["owner"][0]])


if __name__ == "__main__":
    routes = {
        "POST /start-ec2": start_ec2,
        "GET /operations": show_operation,
        "GET /notifications": show_notifications,
    }
    serve(int(sys.argv[1]), routes)
