"""OpenTelemetry and Prometheus as others wrote them: a collector that reads OTLP, the Python propagator as oracle for
`traceparent`, the semantic conventions' list of names, and promtool."""

import json
import os
import re
import shutil
import signal
import subprocess
import tempfile
import threading
import time
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from opentelemetry.semconv._incubating.attributes import messaging_attributes
from opentelemetry.semconv.attributes import error_attributes, http_attributes, server_attributes, url_attributes
from opentelemetry.trace import get_current_span
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from servers import OUTCOME, PATIENCE, free_port, until

PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
STATE = "vendor=1,other=a b"
KINDS = ["trace.one", "trace.two", "trace.three", "trace.four"]
DOCUMENT = Path(__file__).parents[2] / "docs" / "telemetry.md"

CONFIG = """
[server]
listen = "{listen}"
lease = "1s"

[store]
url = "sqlite:acceptd.db"

[log]
level = "info,acceptd=debug"
format = "json"

[telemetry]
otlp_endpoint = "{collector}"
service_name = "shop"
"""

CONSUMER = """
[consumers.{name}]
on = "{kind}"
emits = {emits}
url = "{url}/{name}?token=secret"
"""

# What W3C Trace Context says is one, and what it says is none: the oracle decides which.
HEADERS = [
    PARENT,
    PARENT.replace("-01", "-00"),
    PARENT.replace("-01", "-ff"),
    "01" + PARENT[2:],
    "fe" + PARENT[2:] + "-what-comes",
    "cc" + PARENT[2:] + "-",
    "cc" + PARENT[2:] + ".more",
    "ff" + PARENT[2:],
    PARENT + "-more",
    PARENT + "0",
    PARENT[:-1],
    PARENT[3:],
    PARENT.upper(),
    PARENT.replace("b7ad6b7169203331", "0" * 16),
    PARENT.replace("0af7651916cd43dd8448eb211c80319c", "0" * 32),
    PARENT.replace("0af", "0ag"),
    PARENT.replace("-", "_"),
    "",
    "nonsense",
]
STATES = ["a=1", "a=1,b=2", " a=1 , b=2 ", "a", "A=1", "a=1,a=2", "t@s=1", ",".join(f"k{n}=v" for n in range(32))]


class Collector(ThreadingHTTPServer):
    """Reads what OTLP over HTTP brings; keeps (resource, span)."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), CollectorHandler)
        self.spans = []
        self.url = f"http://127.0.0.1:{self.server_port}"
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def named(self, name):
        return [span for _, span in self.spans if span.name == name]


class CollectorHandler(BaseHTTPRequestHandler):
    def do_POST(self):
        assert self.path == "/v1/traces" and self.headers["Content-Type"] == "application/x-protobuf"
        body = self.rfile.read(int(self.headers["Content-Length"]))
        for of_resource in ExportTraceServiceRequest.FromString(body).resource_spans:
            resource = {pair.key: pair.value.string_value for pair in of_resource.resource.attributes}
            for scope in of_resource.scope_spans:
                self.server.spans += [(resource, span) for span in scope.spans]
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_):
        """Says nothing."""


class Consumers(ThreadingHTTPServer):
    """The links of the chain. One is held until it is let go; the last fails once."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), ConsumersHandler)
        self.received = []
        self.hold = threading.Event()
        self.url = f"http://127.0.0.1:{self.server_port}"
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def handle_error(self, request, client_address):
        """Says nothing: the server that waited for the answer was killed."""


class ConsumersHandler(BaseHTTPRequestHandler):
    def do_POST(self):
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        kind = self.headers["ce-type"]
        self.server.received.append({name.lower(): value for name, value in self.headers.items()})
        if kind == "trace.three":
            self.server.hold.wait(PATIENCE)
        if kind == "trace.four" and self.headers["Acceptd-Attempt"] == "1":
            return self.answer(503, {"title": "not now"})
        following = KINDS[KINDS.index(kind) + 1 :][:1]
        self.answer(200, {"result": 1, "emit": [{"type": one, "data": {}} for one in following]})

    def answer(self, status, document):
        content = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("Content-Type", OUTCOME if status == 200 else "application/problem+json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_):
        """Says nothing."""


class Server:
    """acceptd with a collector, killed and started again at will."""

    def __init__(self, binary, folder, collector, consumers):
        self.binary, self.folder = binary, Path(folder)
        self.listen = f"127.0.0.1:{free_port()}"
        self.base = f"http://{self.listen}"
        text = CONFIG.format(listen=self.listen, collector=collector)
        for kind, following in zip(KINDS, [[kind] for kind in KINDS[1:]] + [[]]):
            name = kind.replace(".", "-")
            text += CONSUMER.format(name=name, kind=kind, emits=json.dumps(following), url=consumers)
        (self.folder / "acceptd.toml").write_text(text)
        self.log = self.folder / "acceptd.log"

    def start(self):
        environment = {name: value for name, value in os.environ.items() if not name.startswith(("ACCEPTD_", "OTEL_"))}
        with open(self.log, "ab") as log:
            command = [self.binary, "serve", "--config", "acceptd.toml"]
            self.process = subprocess.Popen(command, stdout=log, stderr=log, cwd=self.folder, env=environment)
        until("acceptd to be ready", self.is_ready)

    def is_ready(self):
        assert self.process.poll() is None, f"acceptd ended: {self.log.read_text()[-500:]}"
        try:
            return urllib.request.urlopen(f"{self.base}/readyz", timeout=5).status == 200
        except OSError:
            return False

    def end(self, how):
        self.process.send_signal(how)
        return self.process.wait(timeout=PATIENCE)

    def get(self, path):
        return urllib.request.urlopen(self.base + path, timeout=PATIENCE)

    def send(self, kind, headers):
        headers = {"Content-Type": "application/json", **headers}
        request = urllib.request.Request(f"{self.base}/v1/events/{kind}", b"{}", headers, method="POST")
        return json.loads(urllib.request.urlopen(request, timeout=PATIENCE).read())["id"]

    def metrics(self):
        """The page and its media type, once the gauges of what waits are on it."""
        with self.get("/metrics") as answer:
            page = answer.read().decode()
            return (page, answer.headers["Content-Type"]) if "acceptd_queue_depth" in page else None

    def events(self, operation):
        return json.loads(self.get(f"/v1/operations/{operation}/chain").read())["events"]

    def is_done(self, operation):
        return json.loads(self.get(f"/v1/operations/{operation}").read())["done"]


def interrupted_chain(binary, folder):
    """A chain of four, its server killed while the third link runs; everything that was seen of it."""
    collector, consumers = Collector(), Consumers()
    server = Server(binary, folder, collector.url, consumers.url)
    server.start()
    try:
        operation = server.send("trace.one", {"traceparent": PARENT, "tracestate": STATE})
        until("the third link to run", lambda: any(one["ce-type"] == "trace.three" for one in consumers.received))
        until("the spans of the second link", lambda: collector.named("process trace.two"))
        server.end(signal.SIGKILL)
        consumers.hold.set()
        server.start()
        until("the end of the chain", lambda: server.is_done(operation))
        page, media_type = until("the first gauges", server.metrics)
        events = server.events(operation)
    finally:
        code = server.end(signal.SIGTERM)
    assert code == 0, f"acceptd ended with {code}"
    return {
        "operation": operation,
        "events": events,
        "received": consumers.received,
        "spans": collector.spans,
        "metrics": (page, media_type),
        "log": server.log.read_text(),
    }


def values(span):
    return {pair.key: pair.value.string_value or pair.value.int_value for pair in span.attributes}


def one_trace(seen):
    traces = {span.trace_id.hex() for _, span in seen["spans"]}
    assert traces == {PARENT.split("-")[1]}, f"the spans are of the traces {traces}"
    ids = [span.span_id for _, span in seen["spans"]]
    assert len(set(ids)) == len(ids), "two spans have the same id"
    assert {resource["service.name"] for resource, _ in seen["spans"]} == {"shop"}
    assert all(span.trace_state == STATE for _, span in seen["spans"]), "tracestate was lost"
    known = set(ids) | {bytes.fromhex(PARENT.split("-")[2])}
    orphans = [span.name for _, span in seen["spans"] if span.parent_span_id not in known]
    assert not orphans, f"nobody knows the parents of {orphans}"


def kinds_parents_and_links(seen):
    def named(name):
        return [span for _, span in seen["spans"] if span.name == name]

    before = bytes.fromhex(PARENT.split("-")[2])
    for kind in KINDS:
        (send,) = named(f"send {kind}")
        assert (send.kind, send.parent_span_id) == (Span.SPAN_KIND_PRODUCER, before), f"send {kind}"
        attempts = named(f"process {kind}")
        for process in attempts:
            assert (process.kind, process.parent_span_id) == (Span.SPAN_KIND_CONSUMER, send.span_id), f"process {kind}"
            assert [link.span_id for link in process.links] == [send.span_id], f"process {kind} has other links"
            told = values(process)
            assert told["messaging.destination.name"] == kind
            assert told["messaging.consumer.group.name"] == kind.replace(".", "-")
            assert told["messaging.message.conversation_id"] == seen["operation"]
            assert told["messaging.system"] == "acceptd" and told["messaging.operation.type"] == "process"
        outcomes = sorted(values(process)["acceptd.outcome"] for process in attempts)
        expected = {"trace.three": ["done", "lost"], "trace.four": ["done", "retry"]}.get(kind, ["done"])
        assert outcomes == expected, f"the attempts of {kind} ended {outcomes}"
        ended = [process for process in attempts if values(process)["acceptd.outcome"] != "lost"]
        settles = [span.parent_span_id for span in named(f"settle {kind}")]
        assert sorted(settles) == sorted(process.span_id for process in ended), f"settle {kind}"
        (done,) = [process for process in attempts if values(process)["acceptd.outcome"] == "done"]
        before = done.span_id
    (failed,) = [span for span in named("process trace.four") if values(span)["acceptd.outcome"] == "retry"]
    assert values(failed)["error.type"] == "http-503" and failed.status.code == 2


def pushes_are_spans(seen):
    posts = {span.span_id.hex(): span for _, span in seen["spans"] if span.name == "POST"}
    created = {event["id"]: event for event in seen["events"]}
    assert len(created) == len(KINDS)
    lost = 0
    for headers in seen["received"]:
        _, trace, span, _ = headers["traceparent"].split("-")
        assert trace == PARENT.split("-")[1] and headers["tracestate"] == STATE
        assert headers["ce-traceparent"] == created[headers["ce-id"]]["extensions"]["traceparent"]
        if span not in posts:
            # The request that was under way when the server was killed: it took the span along.
            lost += 1
            assert (headers["ce-type"], headers["acceptd-attempt"]) == ("trace.three", "1"), f"{headers} has no span"
            continue
        told = values(posts.pop(span))
        assert told["http.request.method"] == "POST" and told["url.full"].endswith(headers["ce-type"].replace(".", "-"))
        status = 503 if (headers["ce-type"], headers["acceptd-attempt"]) == ("trace.four", "1") else 200
        assert told["http.response.status_code"] == status
    assert lost == 1 and not posts, f"{lost} requests without a span, {len(posts)} spans without a request"
    assert "secret" not in "".join(str(span) for _, span in seen["spans"]), "a query is in a span"


def names_are_of_the_conventions(seen):
    modules = (messaging_attributes, error_attributes, http_attributes, server_attributes, url_attributes)
    known = {value for module in modules for value in vars(module).values() if isinstance(value, str)}
    used = {pair.key for _, span in seen["spans"] for pair in span.attributes}
    foreign = {name for name in used - known if not name.startswith("acceptd.")}
    assert not foreign, f"the conventions have no {foreign}"
    assert any(name.startswith("messaging.") for name in used)
    written = DOCUMENT.read_text()
    missing = [name for name in used if f"| `{name}` |" not in written]
    assert not missing, f"docs/telemetry.md does not have {missing}"


def log_lines_carry_ids(seen):
    lines = [json.loads(line) for line in seen["log"].splitlines() if line.startswith("{")]
    ended = [line["span"] for line in lines if line.get("message") == "an attempt ended"]
    assert len(ended) >= len(KINDS), f"{len(ended)} attempts left a line"
    for span in ended:
        ids = (span["operation"], span["trace_id"])
        assert ids == (seen["operation"], PARENT.split("-")[1]), span
        assert span["consumer"] and span["delivery"]


def metrics_are_as_documented(seen):
    page, media_type = seen["metrics"]
    assert media_type == "text/plain; version=0.0.4; charset=utf-8", media_type
    shown = set(re.findall(r"^# TYPE (\w+) ", page, re.MULTILINE))
    rows = re.findall(r"^\| `(acceptd_\w+)` \| (\w+) \|", DOCUMENT.read_text(), re.MULTILINE)
    written = {name for name, _ in rows}
    assert shown <= written, f"docs/telemetry.md does not have {shown - written}"
    assert written <= shown, f"/metrics does not have {written - shown}"
    for name, kind in rows:
        assert f"# TYPE {name} {kind}\n" in page, f"{name} is no {kind}"
    for sample in (
        'acceptd_operations_total{event_type="trace.one",outcome="succeeded"} 1',
        'acceptd_deliveries_total{consumer="trace-four",code_class="5xx"} 1',
        'acceptd_deliveries_total{consumer="trace-four",code_class="2xx"} 1',
        'acceptd_deliveries_total{consumer="trace-three",code_class="none"} 1',
        'acceptd_retries_total{consumer="trace-four"} 1',
        "acceptd_leases_lost_total 1",
        'acceptd_queue_depth{consumer="trace-one",state="waiting"} 0',
        'acceptd_dead_letters{consumer="trace-four"} 0',
        'acceptd_handler_duration_seconds_count{consumer="trace-four",outcome="retry"} 1',
    ):
        assert sample in page, f"/metrics has no {sample}"


def promtool_has_no_complaint(seen):
    ended = subprocess.run(["promtool", "check", "metrics"], input=seen["metrics"][0], capture_output=True, text=True)
    said = (ended.stdout + ended.stderr).strip()
    assert ended.returncode == 0 and not said, f"promtool ended with {ended.returncode}: {said}"


def the_oracle_agrees(stage):
    """What Python's propagator takes from a request's headers is what acceptd stores, and what it doesn't is not."""
    propagator = TraceContextTextMapPropagator()
    pairs = [(parent, None) for parent in HEADERS] + [(PARENT, state) for state in STATES]
    pairs += [(parent, "a=1") for parent in HEADERS[:12]]
    for parent, state in pairs:
        headers = {"traceparent": parent} | ({"tracestate": state} if state else {})
        context = get_current_span(propagator.extract(headers)).get_span_context()
        status, accepted = stage.post("/v1/events/client.answer", {"Content-Type": "application/json", **headers}, b"{}")
        assert status == 202, f"{headers}: {status}"
        with urllib.request.urlopen(f"{stage.base}/v1/operations/{accepted['id']}/chain", timeout=PATIENCE) as answer:
            kept = json.loads(answer.read())["events"][0]["extensions"]
        if not context.is_valid:
            assert kept == {}, f"{headers} is none, and was kept as {kept}"
            continue
        _, trace, span, flags = kept["traceparent"].split("-")
        ids = (int(trace, 16), int(span, 16), int(flags, 16) & 1)
        assert ids == (context.trace_id, context.span_id, context.trace_flags & 1), f"{headers} was kept as {kept}"
        state = ",".join(f"{key}={value}" for key, value in context.trace_state.items())
        assert kept.get("tracestate", "") == state, f"{headers} was kept as {kept}, not {state}"


def nobody_listens(binary, folder):
    """A collector that is not there neither slows nor stops anything, and the log says so once."""
    consumers = Consumers()
    consumers.hold.set()
    server = Server(binary, folder, f"http://127.0.0.1:{free_port()}", consumers.url)
    server.start()
    try:
        for _ in range(20):
            operation = server.send("trace.four", {})
        until("the end of the last", lambda: server.is_done(operation))
        until("the warning", lambda: "spans can't be sent" in server.log.read_text())
        for _ in range(3):
            operation = server.send("trace.four", {})
            until("the end of one more", lambda: server.is_done(operation))
    finally:
        started = time.monotonic()
        code = server.end(signal.SIGTERM)
    took = time.monotonic() - started
    assert code == 0 and took < 10, f"it ended with {code} after {took:.0f} s"
    assert server.log.read_text().count("spans can't be sent") == 1, "one warning is enough"


def checks(check, stage):
    check("trace.oracle", lambda: the_oracle_agrees(stage))
    with tempfile.TemporaryDirectory(prefix="acceptd-otlp.") as folder:
        check("otlp.nobody_listens", lambda: nobody_listens(stage.binary, folder))
    seen = {}
    with tempfile.TemporaryDirectory(prefix="acceptd-otlp.") as folder:
        check("otlp.interrupted_chain", lambda: seen.update(interrupted_chain(stage.binary, folder)))
    if not seen:
        return
    check("otlp.one_trace", lambda: one_trace(seen))
    check("otlp.kinds_parents_links", lambda: kinds_parents_and_links(seen))
    check("otlp.pushes", lambda: pushes_are_spans(seen))
    check("otlp.conventions", lambda: names_are_of_the_conventions(seen))
    check("log.ids", lambda: log_lines_carry_ids(seen))
    check("metrics.document", lambda: metrics_are_as_documented(seen))
    if shutil.which("promtool") or os.environ.get("CI") == "true":
        check("metrics.promtool", lambda: promtool_has_no_complaint(seen))
    else:
        print("SKIPPED: metrics.promtool: promtool is not installed here (Debian: apt-get install prometheus)")
