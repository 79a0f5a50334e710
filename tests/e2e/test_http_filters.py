"""Filters whose author made a mistake: their request fails, closed, and all else goes on."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.e2e.conftest import Starter, Tools
from tests.e2e.web import origin, web

FILTERS = '''
from vcproxy.business.http.phases import Filter


class Broken(Filter):
    """It raises, or writes a field that would be two, in the phase that the target names."""

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


@pytest.mark.parametrize("phase", ["request", "request-chunk", "response", "response-chunk"])
@pytest.mark.parametrize("fault", ["raises", "crlf"])
def test_a_filter_that_fails_costs_its_request_only(
    proxy: Starter, tools: Tools, tmp_path: Path, phase: str, fault: str
) -> None:
    if fault == "crlf" and "chunk" in phase:
        return
    (tmp_path / "filters.py").write_text(FILTERS)
    with origin() as server:
        running = proxy(web(server.uri, options='filters = ["filters.py:Broken"]'))
        url = f"http://127.0.0.1:{running.port('in')}"
        curl = "curl", "-sSi", "-d", "hello"
        failed = tools.run(*curl, f"{url}/{fault}/{phase}").decode()
        assert failed.startswith("HTTP/1.1 500 ")
        assert "Proxy-Status: vcproxy; error=proxy_internal_error" in failed
        assert "X-Forged" not in failed
        if "request" in phase:
            assert server.heard == []
        assert tools.run(*curl, url).endswith(b"hello")
        running.wait_for("a filter failed at <POST .*>")
    running.mistakes = 1
