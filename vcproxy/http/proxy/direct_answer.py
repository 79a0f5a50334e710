"""DirectlyAnswered: a request on the direct path that a duty answers, as a redirect does.

Tested in tests/http/direct/test_duties.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vcproxy.http.proxy.exchange import Exchange

if TYPE_CHECKING:
    from vcproxy.engine.vio import VIO
    from vcproxy.http.proxy.connection import HttpProxy
    from vcproxy.http.proxy.direct_plan import DirectAnswer


class DirectlyAnswered:
    """One such request, until its response was handed over for sending."""

    __slots__ = ("_answer", "_connection", "_request", "message")

    def __init__(self, connection: HttpProxy, answer: DirectAnswer, request: bytes) -> None:
        """`request`: its head as it was received."""
        self._connection = connection
        self._answer = answer
        self._request = request
        head = answer.head
        if answer.undated:
            head = b"%b%b\r\n" % (head, connection.side.listener.heads.dates.line())
        self.message = head + answer.response.content
        """What is sent to the client."""

    def sent(self, reads: VIO, count: int) -> None:
        """Record what the ordinary path records. `reads`: the client's read VIO; `count`: how many
        bytes of the message the client's port has taken."""
        connection, answer = self._connection, self._answer
        client, side, now = connection.client, connection.side, connection.engine.now
        writes = client.write_vio
        assert writes is not None
        reads.ndone += len(self._request)
        client.moved_at = now
        connection.requests += 1
        connection.remember(connection.REQUEST_READ)
        side.listener.counts.answered(answer.response.status, 0.0)
        if side.log is not None:
            request = side.listener.heads.request(self._request)
            exchange = Exchange(side, request, now, keep=True)
            exchange.tx.route = answer.route
            record = exchange.tx.record
            assert record is not None
            record.answered(exchange, answer.by, len(answer.response.content))
            exchange.tx.response = answer.response
            record.write(exchange)
        writes.ndone += count
        if count < len(self.message):
            side.wire.send(self.message[count:])
