"""Filters that fail: their request fails closed, and all others continue."""

from __future__ import annotations

from pathlib import Path

from tests.e2e.conftest import Starter, Tools
from tests.e2e.web import origin, web

FILTERS = '''
from vcproxy.http.filters import Filter


class Broken(Filter):
    """Fails in the phase that the target names: raises, or writes a field that would be two
    fields."""

    def request_head(self, tx):
        self.fail(tx, "request")

    def response_head(self, tx):
        self.fail(tx, "response")

    def request_chunk(self, tx, data):
        self.fail(tx, "request-chunk")
        return data

    def response_chunk(self, tx, data):
        self.fail(tx, "response-chunk")
        return data

    def fail(self, tx, phase):
        if tx.request.path == f"/raises/{phase}":
            1 / 0
        if tx.request.path == f"/crlf/{phase}":
            message = tx.request if phase == "request" else tx.response
            message.fields["X-Mine"] = "one\\r\\nX-Forged: two"
'''


def test_a_filter_that_fails_costs_its_request_only(
    proxy: Starter, tools: Tools, tmp_path: Path
) -> None:
    (tmp_path / "filters.py").write_text(FILTERS)
    with origin() as server:
        running = proxy(web(server.uri, options='filters = ["filters.py:Broken"]'))
        url = f"http://127.0.0.1:{running.port('in')}"
        curl = "curl", "-sSi", "-d", "hello"
        for fault in (
            "raises/request",
            "raises/request-chunk",
            "raises/response",
            "raises/response-chunk",
            "crlf/request",
            "crlf/response",
        ):
            failed = tools.run(*curl, f"{url}/{fault}").decode()
            assert failed.startswith("HTTP/1.1 500 "), fault
            assert "Proxy-Status: vcproxy; error=proxy_internal_error" in failed
            assert "X-Forged" not in failed
            running.expected_tracebacks = (running.expected_tracebacks or 0) + 1
            running.wait_for("filter failed at <POST .*>", running.expected_tracebacks)
            assert tools.run(*curl, url).endswith(b"hello")
        assert not [received for received in server.received if "/request" in received.target]
