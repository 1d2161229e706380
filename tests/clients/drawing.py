"""Mermaid drawn by Mermaid itself, in a headless Chromium.

    python drawing.py NODE_PACKAGES FILE.mmd...

The page is served on loopback together with Mermaid, draws every diagram, and sends back what it drew: nothing waits
for a fixed time."""

import html
import json
import re
import shutil
import subprocess
import sys
import tempfile
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

PATIENCE = 60

PAGE = """<!doctype html><meta charset="utf-8"><div id="stage"></div><script src="/mermaid.js"></script><script>
const draw = async () => {
  const drawn = {};
  mermaid.initialize({ startOnLoad: false, securityLevel: "strict" });
  for (const [name, text] of Object.entries(await (await fetch("/diagrams")).json())) {
    try {
      const { svg } = await mermaid.render("d" + Object.keys(drawn).length, text);
      const stage = document.getElementById("stage");
      stage.innerHTML = svg;
      const texts = (what) => [...stage.querySelectorAll(what)].map((node) => node.textContent);
      const edges = stage.querySelectorAll("path.flowchart-link").length;
      drawn[name] = { nodes: texts("g.node"), labels: texts("g.edgeLabel"), edges, whole: stage.textContent };
    } catch (error) {
      drawn[name] = { error: String(error.message ?? error) };
    }
  }
  await fetch("/drawn", { method: "POST", body: JSON.stringify(drawn) });
};
draw();
</script>"""


def chromium():
    """The browser, if there is one."""
    return shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


class Page(BaseHTTPRequestHandler):
    """Serves the page, Mermaid and the diagrams, and takes what was drawn."""

    def do_GET(self):
        answers = {
            "/": ("text/html", PAGE),
            "/mermaid.js": ("text/javascript", self.server.mermaid),
            "/diagrams": ("application/json", json.dumps(self.server.diagrams)),
        }
        media_type, text = answers.get(self.path, ("text/plain", ""))
        self.answer(media_type, text.encode())

    def do_POST(self):
        self.server.drawn = json.loads(self.rfile.read(int(self.headers["content-length"])))
        self.answer("text/plain", b"")
        self.server.done.set()

    def answer(self, media_type, body):
        self.send_response(200)
        self.send_header("content-type", f"{media_type}; charset=utf-8")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


def draw(packages, diagrams):
    """Draws diagrams by name and returns what became of each."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Page)
    server.mermaid = (Path(packages) / "node_modules/mermaid/dist/mermaid.min.js").read_text()
    server.diagrams, server.drawn, server.done = diagrams, None, threading.Event()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    with tempfile.TemporaryDirectory(prefix="acceptd-chromium-", ignore_cleanup_errors=True) as profile:
        flags = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-proxy-server"]
        address = f"http://127.0.0.1:{server.server_port}/"
        command = [chromium(), *flags, "--remote-debugging-port=0", f"--user-data-dir={profile}", address]
        browser = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            drew = server.done.wait(PATIENCE)
        finally:
            browser.kill()
            browser.wait()
            server.shutdown()
    assert drew, f"chromium drew nothing within {PATIENCE} s"
    return server.drawn


def squeezed(text):
    """Text without spaces and line breaks: where a label is broken is Mermaid's own."""
    return re.sub(r"\s", "", text)


def plain(label):
    """A label as it is meant: line breaks are elements, other characters may be numbers or names."""

    def character(entity):
        return chr(int(entity[1])) if entity[1].isdigit() else html.unescape(f"&{entity[1]};")

    return squeezed(re.sub(r"#(\w+);", character, label.replace("<br/>", "")))


def is_drawn(text, drawn):
    """Checks that a diagram is there, and of a flowchart that each node has its text and each arrow its label."""
    assert "error" not in drawn, drawn["error"]
    assert "Syntax error" not in drawn["whole"], drawn["whole"][:200]
    if not text.startswith("flowchart"):
        assert drawn["whole"].strip(), "the drawing is empty"
        return
    wanted = re.findall(r'\b\w+[\[({]+"([^"]*)"[\])}]+', text)
    assert len(drawn["nodes"]) == len(wanted) > 0, f"{len(drawn['nodes'])} nodes for {len(wanted)}"
    left = sorted(squeezed(node) for node in drawn["nodes"])
    assert left == sorted(plain(node) for node in wanted), f"{left} for {sorted(map(plain, wanted))}"
    labels = [plain(label) for label in re.findall(r'\|"([^"]*)"\|', text)]
    assert sorted(labels) == sorted(filter(None, map(squeezed, drawn["labels"]))), drawn["labels"]
    arrows = re.findall(r"-->|-\.->|==>", re.sub('"[^"]*"', "", text))
    assert drawn["edges"] == len(arrows), f"{drawn['edges']} arrows for {len(arrows)}"


def checks(check, packages, files):
    """Checks diagrams, given as files by name."""
    texts = {name: Path(path).read_text() for name, path in files.items()}
    drawn = {}
    check("mermaid.chromium", lambda: drawn.update(draw(packages, texts)))
    for name, text in texts.items():
        check(name, lambda: is_drawn(text, drawn[name]))


def main():
    from run import check, ended

    packages, *files = sys.argv[1:]
    checks(check, packages, {f"mermaid.{Path(path).name}": path for path in files})
    ended()


if __name__ == "__main__":
    main()
