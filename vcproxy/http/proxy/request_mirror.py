"""RequestMirror: sends copies of requests to another upstream and drops the responses.

Tested in tests/http/proxy/test_proxied_filters.py.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable
from typing import TYPE_CHECKING

from vcproxy.engine.continuation import Continuation
from vcproxy.engine.mutex import Mutex
from vcproxy.http.proxy.subrequests import SubrequestGroup

if TYPE_CHECKING:
    from vcproxy.engine.engine import Engine
    from vcproxy.http.message.client_fields import ClientFields
    from vcproxy.http.message.limits import MessageLimits
    from vcproxy.http.message.messages import Request
    from vcproxy.http.proxy.request_record import RequestRecord
    from vcproxy.upstream.upstream import Upstream

MAX_COPIES = 256
"""Copies in flight at a time: with bodies of 1 MiB, no more than the default memory budget."""

COPY_TIMEOUT_S = 30.0
"""Seconds for a copy and its response: a healthy mirror server takes less."""


class RequestMirror(Continuation):
    """One for each listener and net thread."""

    __slots__ = ("_counts", "_in_flight", "_limits")

    def __init__(self, engine: Engine, limits: MessageLimits, counts: Counter[str]) -> None:
        """`counts`: the listener's counters; a copy that is dropped is counted as `unmirrored`."""
        super().__init__(engine, Mutex())
        self._limits = limits
        self._counts = counts
        self._in_flight = 0

    def send(
        self,
        upstream: Upstream,
        request: Request,
        body: bytes,
        client_fields: ClientFields,
        record: RequestRecord | None,
    ) -> None:
        """Send a copy of a request. While MAX_COPIES are in flight, it is dropped and counted.
        `record`: that of the request in the access log."""
        if self._in_flight >= MAX_COPIES:
            self._counts["unmirrored"] += 1
            return
        copy = request.copy()
        copy.content = body
        group = SubrequestGroup(
            self, upstream, (copy,), self._limits, client_fields, COPY_TIMEOUT_S,
            parent=record, mirror=True,
        )  # fmt: skip
        self._in_flight += 1
        with self.mutex.hold(self.engine):
            group.start()

    def handle_event(self, key: Hashable, data: object) -> None:
        """Handle SubrequestsDone: a copy was answered or has failed."""
        self._in_flight -= 1
