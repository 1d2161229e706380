"""PyPI cloudevents: the SDK of the CloudEvents project, as a producer in front of acceptd and as a consumer behind it."""

import uuid
from datetime import datetime, timezone

from cloudevents.core.bindings.http import HTTPMessage, from_http_event, to_binary_event, to_structured_event
from cloudevents.core.v1.event import CloudEvent

from servers import until

SUBJECT = 'größe 5 €, "100 %41 cotton"'  # a header has to carry this percent-encoded, and the %41 is no A
DATA = {"größe": 5, "list": [1, None, {"deep": True}]}


def event():
    attributes = {
        "id": str(uuid.uuid4()),
        "source": "https://shop.example/orders",
        "type": "client.answer",
        "subject": SUBJECT,
        "time": datetime(2026, 1, 2, 3, 4, 5, 678000, timezone.utc),
        "datacontenttype": "application/json",
        "tenant": "café & co",  # an extension
    }
    return CloudEvent(attributes, DATA)


def accept(stage, sent, encode):
    message = encode(sent)
    status, operation = stage.post("/v1/events", message.headers, message.body)
    assert status == 202, f"accepting answered {status}: {operation}"
    return operation["id"]


def delivered(stage, sent):
    """What acceptd posted for the event, as the SDK reads it."""

    def look():
        for headers, body in list(stage.consumer.received):
            headers = {name.lower(): value for name, value in headers.items()}
            if headers.get("ce-id") == sent.get_id():
                return HTTPMessage(headers, body)
        return None

    message = until(f"the delivery of event {sent.get_id()}", look)
    assert "ce-datacontenttype" not in message.headers, "binary mode has no ce-datacontenttype"
    return from_http_event(message)


def accepted_and_delivered(stage, encode):
    sent = event()
    operation = accept(stage, sent, encode)
    got = delivered(stage, sent)
    for name in ("id", "source", "type", "subject", "time", "specversion", "data"):
        before, after = getattr(sent, f"get_{name}")(), getattr(got, f"get_{name}")()
        assert before == after, f"{name} was {before!r} and came as {after!r}"
    assert got.get_extension("tenant") == sent.get_extension("tenant"), "the extension is not what it was"
    assert got.get_extension("correlationid") == operation, "correlationid is not the operation"


def duplicate(stage):
    sent = event()
    first = accept(stage, sent, to_binary_event)
    second = accept(stage, sent, to_structured_event)
    assert first == second, "the same source and id gave two operations"


def incomplete(stage):
    message = to_binary_event(event())
    headers = {name: value for name, value in message.headers.items() if name != "ce-source"}
    status, _ = stage.post("/v1/events", headers, message.body)
    assert status == 400 or status == 422, f"an event without a source was answered {status}"


def checks(check, stage):
    check("cloudevents.binary", lambda: accepted_and_delivered(stage, to_binary_event))
    check("cloudevents.structured", lambda: accepted_and_delivered(stage, to_structured_event))
    check("cloudevents.duplicate", lambda: duplicate(stage))
    check("cloudevents.incomplete", lambda: incomplete(stage))
