"""The least of an HTTP server for JSON, on Python's own http.server.

`serve(port, {"POST /path": function})` calls `function(request)` in a thread of its own for every request, and
answers with what it returns.
"""

import json
from dataclasses import dataclass, field
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit


@dataclass
class Request:
    headers: Message
    path: str
    query: dict[str, list[str]]
    data: Any


@dataclass
class Answer:
    status: int
    body: Any
    media_type: str = "application/json"
    headers: dict[str, str] = field(default_factory=dict)


def problem(status, title, detail="", **headers):
    """An error as RFC 9457 has it."""
    return Answer(status, {"title": title, "status": status, "detail": detail}, "application/problem+json", headers)


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    routes = {}

    def handle_any(self):
        url = urlsplit(self.path)
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        route = self.routes.get(f"{self.command} {url.path}")
        try:
            data = json.loads(body) if body else None
        except ValueError as error:
            return self.answer(problem(400, "the body is not JSON", str(error)))
        if route is None:
            return self.answer(problem(404, "there is nothing here"))
        try:
            answer = route(Request(self.headers, url.path, parse_qs(url.query), data))
        except Exception as error:
            print(f"{self.command} {url.path}: {type(error).__name__}: {error}", flush=True)
            answer = problem(500, "something went wrong", str(error))
        self.answer(answer)

    do_GET = do_POST = handle_any

    def answer(self, answer):
        body = json.dumps(answer.body).encode()
        try:
            self.send_response(answer.status)
            self.send_header("Content-Type", answer.media_type)
            self.send_header("Content-Length", str(len(body)))
            for name, value in answer.headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)
        except ConnectionError:
            self.close_connection = True
            print(f"{self.command} {self.path}: nobody was there to hear the answer", flush=True)

    def log_message(self, *_):
        """Says nothing: the routes tell what matters."""


class Server(ThreadingHTTPServer):
    def handle_error(self, request, client_address):
        """Says nothing: a caller that hangs up is no error here."""


def serve(port, routes):
    """Serves until the process is ended."""
    handler = type("Routes", (Handler,), {"routes": routes})
    Server(("127.0.0.1", port), handler).serve_forever()
