"""Who ships: the HTTP endpoint that acceptd delivers `order.placed` to. Says each delivery in a line.

Usage: ship.py PORT
"""

import json
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer


class Ship(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        print(f"shipped {json.loads(body)['order']}", flush=True)
        self.reply(b'{"shipped": true}')

    def do_GET(self):
        self.reply(b'{"up": true}')

    def reply(self, body):
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        """Says nothing: its deliveries tell what matters."""


HTTPServer(("127.0.0.1", int(sys.argv[1])), Ship).serve_forever()
