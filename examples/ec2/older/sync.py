"""The first way everybody writes it: the endpoint does the work while the caller waits.

The caller is blocked for as long as the cloud takes. If the page is reloaded or the server restarts, nobody knows
whether there is a machine; asking again launches another one.

Usage: sync.py PORT
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

import machine
from web import Answer, serve


def start_ec2(request):
    instance = machine.launch(request.data["ami"], request.data["instanceType"])
    machine.wait_until_running(instance)
    return Answer(200, {"instanceId": instance})


if __name__ == "__main__":
    serve(int(sys.argv[1]), {"POST /start-ec2": start_ec2})
