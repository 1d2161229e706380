"""acceptd on a free port and a temporary store, with a small HTTP consumer behind it."""

import json
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

PATIENCE = 30.0
WORK = 0.3  # how long the consumer takes
OUTCOME = "application/vnd.acceptd.outcome+json"

CONFIG = """
[server]
listen = "{listen}"

[store]
url = "sqlite:{store}"

[consumers.answer]
on = "client.answer"
url = "{consumer}/answer"

[consumers.refuse]
on = "client.refuse"
url = "{consumer}/refuse"

[consumers.first]
on = "client.first"
url = "{consumer}/first"
emits = ["client.second"]

[consumers.second]
on = "client.second"
url = "{consumer}/second"
emits = ["client.third"]

[consumers.third]
on = "client.third"
url = "{consumer}/third"
"""


def emit(kind):
    return 200, OUTCOME, {"result": {"next": kind}, "emit": [{"type": kind, "data": {}}]}


ANSWERS = {
    "/answer": (200, "application/json", {"answer": 42}),
    "/refuse": (422, "application/problem+json", {"title": "there is no such thing", "status": 422}),
    "/first": emit("client.second"),
    "/second": emit("client.third"),
    "/third": (200, "application/json", {"end": True}),
}


def until(what, look):
    """Looks until there is something to see."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        if seen := look():
            return seen
        time.sleep(0.05)
    raise TimeoutError(f"waited {PATIENCE:.0f} s in vain for {what}")


class Consumer(ThreadingHTTPServer):
    """Answers by path after a while, and remembers what came: (headers, body)."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), ConsumerHandler)
        self.received = []
        self.url = f"http://127.0.0.1:{self.server_port}"
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def handle_error(self, request, client_address):
        """Says nothing: at the end acceptd hangs up on what is still running."""


class ConsumerHandler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.server.received.append((dict(self.headers.items()), body))
        time.sleep(WORK)
        status, media_type, answer = ANSWERS[self.path]
        content = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Type", media_type)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_):
        """Says nothing."""


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


class Stage:
    """Both servers, from `with` to its end."""

    def __init__(self, binary):
        self.binary = Path(binary).resolve()
        self.listen = f"127.0.0.1:{free_port()}"
        self.base = f"http://{self.listen}"

    def __enter__(self):
        self.folder = tempfile.TemporaryDirectory(prefix="acceptd-clients.")
        folder = Path(self.folder.name)
        self.consumer = Consumer()
        config = CONFIG.format(listen=self.listen, store=folder / "acceptd.db", consumer=self.consumer.url)
        (folder / "acceptd.toml").write_text(config)
        self.log = open(folder / "acceptd.log", "w+b")
        environment = {name: value for name, value in os.environ.items() if not name.startswith("ACCEPTD_")}
        command = [self.binary, "serve", "--config", folder / "acceptd.toml"]
        self.process = subprocess.Popen(command, stdout=self.log, stderr=self.log, cwd=folder, env=environment)
        try:
            until("acceptd to be ready", self.is_ready)
        except BaseException:
            self.tell()
            self.__exit__()
            raise
        return self

    def is_ready(self):
        if self.process.poll() is not None:
            raise RuntimeError(f"acceptd ended with {self.process.returncode}")
        try:
            return urllib.request.urlopen(f"{self.base}/readyz", timeout=5).status == 200
        except OSError:
            return False

    def tell(self):
        """Shows the end of what acceptd said."""
        self.log.seek(0)
        for line in self.log.read().decode(errors="replace").splitlines()[-20:]:
            print(f"acceptd: {line}", file=sys.stderr)

    def __exit__(self, *_):
        self.process.terminate()
        try:
            self.process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.consumer.shutdown()
        self.log.close()
        self.folder.cleanup()

    def post(self, path, headers, body):
        """Posts and returns (status, JSON), whatever the status is."""
        request = urllib.request.Request(self.base + path, body, headers, method="POST")
        try:
            response = urllib.request.urlopen(request, timeout=PATIENCE)
        except urllib.error.HTTPError as error:
            response = error
        return response.status, json.loads(response.read())
