"""The template `filter`: changes requests and responses of an HTTP proxy.

Tested in tests/app/test_plugin_command.py.
"""

PLUGIN = '''\
"""{name}: require a field in requests, and forbid caches to store responses."""

from vcproxy.api import Filter, Response, Transaction


class {Name}(Filter):
    """Requests need the field X-Client; responses must not be stored."""

    def request_head(self, tx: Transaction) -> Response | None:
        """Reject a request without the field before it reaches a server."""
        if "X-Client" in tx.request.fields:
            return None
        return Response(400, {{"Content-Type": "text/plain"}}, b"the field X-Client is required\\n")

    def response_head(self, tx: Transaction) -> None:
        """Change the head of a response."""
        tx.response.fields["Cache-Control"] = "private, no-store"
'''

TEST = '''\
"""{name}: which requests reach the server, and what the client gets."""

from vcproxy.api import Request
from vcproxy.testing import SimulatedHttp

from {name} import {Name}


def test_responses_are_not_stored() -> None:
    with SimulatedHttp({Name}()) as proxy:
        answer = proxy.send(Request("GET", "/", {{"X-Client": "ann"}}, host="shop.example"))
        assert answer.status == 200
        assert answer.fields["Cache-Control"] == "private, no-store"


def test_a_request_without_the_field_causes_no_connection() -> None:
    with SimulatedHttp({Name}()) as proxy:
        assert proxy.send(Request("GET", "/", host="shop.example")).status == 400
        assert proxy.received() == []
'''
