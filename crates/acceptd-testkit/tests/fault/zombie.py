"""A target that takes deliveries over and wakes up too late.

It answers every delivery 202 and tells so on stdout. When a line arrives on stdin it completes all of them and tells
what it was answered. The test stops this process in between, so that it does not know how much time has passed.
"""
import http.server
import json
import sys
import threading
import urllib.error
import urllib.request

ACCEPTD = sys.argv[1]
taken = []


class Target(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        one = (self.headers["Acceptd-Delivery"], self.headers["Acceptd-Fence"])
        taken.append(one)
        self.send_response(202)
        self.send_header("Content-Length", "0")
        self.end_headers()
        # In one piece, as several threads write.
        sys.stdout.write(f"taken {one[0]} {one[1]}\n")
        sys.stdout.flush()

    def log_message(self, *_):
        pass


def complete(delivery, fence):
    request = urllib.request.Request(
        f"{ACCEPTD}/v1/deliveries/{delivery}/complete",
        data=json.dumps({"by": "zombie"}).encode(),
        headers={"Content-Type": "application/json", "Acceptd-Fence": fence},
    )
    try:
        with urllib.request.urlopen(request) as answer:
            return answer.status, ""
    except urllib.error.HTTPError as refusal:
        return refusal.code, json.load(refusal)["type"].rsplit("/", 1)[-1]


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Target)
threading.Thread(target=server.serve_forever, daemon=True).start()
print("port", server.server_port, flush=True)
sys.stdin.readline()
for delivery, fence in taken:
    print("answered", *complete(delivery, fence), flush=True)
