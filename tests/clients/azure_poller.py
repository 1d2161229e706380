"""PyPI azure-core: Azure's poller for long-running operations, as its own services' clients use it.

Once with `Operation-Location`, as acceptd answers, and once without that header, as a client that only knows
`Location` sees it.
"""

from azure.core import PipelineClient
from azure.core.exceptions import HttpResponseError
from azure.core.pipeline.policies import SansIOHTTPPolicy
from azure.core.polling import LROPoller
from azure.core.polling.base_polling import LROBasePolling
from azure.core.rest import HttpRequest

PATIENCE = 30


class WithoutOperationLocation(SansIOHTTPPolicy):
    """Takes the header away before the poller sees it."""

    def on_response(self, request, response):
        response.http_response.headers.pop("Operation-Location", None)


def poller(base, kind, policies):
    client = PipelineClient(base, per_call_policies=policies)
    request = HttpRequest("POST", f"{base}/v1/events/{kind}", json={})
    accepted = client._pipeline.run(request)
    assert accepted.http_response.status_code == 202, f"accepting answered {accepted.http_response.status_code}"

    def content(response):
        return response.http_response.json()

    return LROPoller(client, accepted, content, LROBasePolling(timeout=0.05))


def right_result(base, policies, algorithm):
    poll = poller(base, "client.answer", policies)
    used = type(poll.polling_method()._operation).__name__
    assert used == algorithm, f"the poller follows {used}"
    result = poll.result(timeout=PATIENCE)
    assert poll.done(), "the poller is not done"
    assert result == {"answer": 42}, f"the result is {result}"


def failure_of(poll):
    try:
        result = poll.result(timeout=PATIENCE)
    except HttpResponseError as error:
        return error
    raise AssertionError(f"the poller took the failure for the result {result}")


def right_failure(base):
    poll = poller(base, "client.refuse", [])
    error = failure_of(poll)
    assert poll.status().lower() == "failed", f"the status is {poll.status()}"
    assert error.error and error.error.code and error.error.message, "the client finds no code and message"


def right_failure_by_location(base):
    error = failure_of(poller(base, "client.refuse", [WithoutOperationLocation()]))
    assert error.response.status_code >= 400, f"the failure was read from a {error.response.status_code}"


def checks(check, stage):
    location_only = [WithoutOperationLocation()]
    check("azure-core.result", lambda: right_result(stage.base, [], "OperationResourcePolling"))
    check("azure-core.failure", lambda: right_failure(stage.base))
    check("azure-core.location-only.result", lambda: right_result(stage.base, location_only, "LocationPolling"))
    check("azure-core.location-only.failure", lambda: right_failure_by_location(stage.base))
