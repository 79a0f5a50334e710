"""RequestRecord: follows one request, and writes its record in the access log.

It is made with the exchange of the request, and exists only where there is an access log. Requests
that take the direct path have none: `RecordTemplates.write_direct` writes the same lines. Tested in
tests/http/proxy/test_access_log.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vcproxy.access_log.ending import By, End
from vcproxy.engine.lifecycle import NOT_YET
from vcproxy.http.proxy.record_templates import ALWAYS, NORMAL
from vcproxy.http.proxy.request_ending import request_end, request_phase

if TYPE_CHECKING:
    from vcproxy.engine.net import NetVConnection
    from vcproxy.http.message.messages import Request
    from vcproxy.http.proxy.connection_log import ConnectionLog
    from vcproxy.http.proxy.exchange import Exchange
    from vcproxy.http.proxy.failure import Failure
    from vcproxy.http.proxy.server_side import ServerSide


class RequestRecord:
    """The record of one request. The steps of its exchange note what happens."""

    __slots__ = (
        "_asked", "_children", "_end", "_log", "_number", "_reason", "_target", "_written",
        "answered_by", "began_s", "bytes_down", "bytes_up", "connect_s", "down_from", "extra",
        "first_at", "queue_s", "responding", "selected", "status", "tried", "up_from",
    )  # fmt: skip

    def __init__(self, log: ConnectionLog, request: Request, began_s: float, number: int) -> None:
        """`number`: of the request on its connection, from 1."""
        self._log = log
        # As it was received: a filter may change it.
        self._asked = request.method, request.host, request.version, request.fields.block
        self._target = request.target
        self._written = False
        self._end: End | None = None
        self._reason: str | None = None
        self._number = number
        self._children = 0
        self.began_s = began_s
        """The engine's time at which its head was complete."""
        self.answered_by: str | None = None
        """What has made the response, if no server did."""
        self.status: int | None = None
        """The status of a response that is no `tx.response`."""
        self.tried: list[str] = []
        """The servers that had failed before."""
        self.queue_s: float | None = None
        """How long it waited for the last server, or for its connection."""
        self.connect_s: float | None = None
        """How long it took to connect; None: the connection was reused, or there is none."""
        self.first_at: float | None = None
        """When the first byte of the response was there."""
        self.selected = False
        """Whether there is a server's connection."""
        self.responding = False
        """Whether the response has begun."""
        self.bytes_up = 0
        """Bytes of the request's body, or of a tunnel, that were received from the client."""
        self.bytes_down = 0
        """Bytes of the response's body, or of a tunnel, that were sent to the client."""
        self.up_from: NetVConnection | None = None
        """The client's connection, if what is read from it is added at the end."""
        self.down_from: NetVConnection | None = None
        """The client's connection, if what is written to it is added at the end."""
        self.extra: dict[str, object] | None = None
        """The fields of filters."""

    @property
    def id(self) -> str:
        """Its identifier."""
        return f"{self._log.connection_id}-{self._number}"

    @property
    def now(self) -> float:
        """The engine's time."""
        return self._log.log.engine.now

    # -- requests of the proxy's own ---------------------------------------------------------

    def next_child(self) -> str:
        """Return an identifier for a request that the proxy sends because of this one."""
        self._children += 1
        return f"{self.id}.{self._children}"

    def write_child(self, orderly: bool, values: dict[str, object], began_s: float) -> None:
        """Write the record of such a request, which may end after this one."""
        log = self._log.log
        if log.takes(orderly):
            values["time"] = log.time(began_s)
            values["time_total"] = log.engine.now - began_s
            self._log.write(values)

    # -- what happens ------------------------------------------------------------------------

    def server_selected(self, server: ServerSide, reused: bool) -> None:
        """Note that there is a connection to a server."""
        vc = server.vc
        assert vc is not None
        self.selected = True
        if reused:
            self.queue_s, self.connect_s = server.waited_s, None
        else:
            self.queue_s = vc.started_at - vc.opened_at
            self.connect_s = vc.established_at - vc.started_at

    def server_left(self, name: str) -> None:
        """Note that the request will be sent to another server, or on another connection."""
        self.tried.append(name)
        self.selected = False
        self.first_at = None

    def count_up(self, client: NetVConnection, before: int) -> None:
        """Count what is read from the client from now on, and `before` bytes that were read
        before."""
        self.up_from = client
        self.bytes_up = before - client.bytes_read

    def count_down(self, client: NetVConnection, besides: int) -> None:
        """Count what is written to the client from now on, except for `besides` bytes."""
        self.down_from = client
        self.bytes_down = -besides - client.bytes_written

    def failed(self, exchange: Exchange, failure: Failure) -> None:
        """Note why there is no complete response; the first reason counts."""
        if self._end is None:
            self._end = request_end(exchange, failure)
            self._reason = str(failure)
            self._note_connecting(exchange)

    def answered(self, exchange: Exchange, by: str, size: int) -> None:
        """Note that `by` has made the response, whose body has `size` bytes."""
        self.answered_by = by
        self.bytes_down = size
        if self._end is None:
            self._end = End(By.LOCAL, request_phase(exchange))
            self._note_connecting(exchange)

    def sends(self, by: str, client: NetVConnection, besides: int) -> None:
        """Note that `by` sends a response in place of a server: an orderly end follows unless
        something fails. `besides`: see `count_down`."""
        self.answered_by = by
        self.responding = True
        self.count_down(client, besides)

    def ended(self, end: End, reason: object) -> None:
        """Note what has ended it; the first reason counts."""
        if self._end is None:
            self._end = end
            self._reason = str(reason) or None

    def _note_connecting(self, exchange: Exchange) -> None:
        """Note how long it has waited for a server that could not be connected."""
        vc = exchange.server.vc
        if vc is not None and not self.selected:
            started = vc.started_at
            self.queue_s = (exchange.engine.now if started == NOT_YET else started) - vc.opened_at

    # -- the record --------------------------------------------------------------------------

    def write(self, exchange: Exchange) -> None:
        """Write the record: the request has ended. Only the first call does."""
        if self._written:
            return
        self._written = True
        log, tx, reason = self._log, exchange.tx, self._reason
        status = tx.status or self.status or 0
        if not log.log.takes(self._end is None and status < ALWAYS):
            return
        upstream, route, extra = tx.upstream, tx.route, self.extra
        if log.extra:
            extra = log.extra | (extra or {})
        more: dict[str, object] | None = None
        if reason or extra or self.tried:
            more = {"reason": reason, "extra": extra, "tried": self.tried}
        if identifier := tx.request_id:
            more = {**(more or {}), "request_id": identifier}
        form = (
            *self._asked,
            status,
            self.answered_by,
            None if route is None else route.label,
            None if upstream is None else upstream.name,
            tx.server,
            NORMAL if self._end is None else str(self._end),
        )
        log.templates.write(form, self._values(exchange), more)

    def _values(self, exchange: Exchange) -> dict[str, bytes]:
        """Return the encoded values of the client, and of this request alone."""
        log, tx, began_s, first_at = self._log, exchange.tx, self.began_s, self.first_at
        up, down = self.bytes_up, self.bytes_down
        if self.up_from is not None:
            up += self.up_from.bytes_read
        if exchange.upload is not None:
            up += exchange.upload.received
        if self.down_from is not None:
            down += self.down_from.bytes_written
        templates = log.templates
        time = templates.encode_time
        values = templates.values(log, began_s, self._number)
        values["target"] = templates.encode_target(self._target)
        values["bytes_down"] = templates.encode_size(max(down, 0))
        values["time_first_byte"] = time(None if first_at is None else first_at - began_s)
        if up:
            values["bytes_up"] = templates.encode_size(up)
        if self.queue_s != 0.0:
            values["time_queue"] = time(self.queue_s)
        if self.connect_s is not None:
            values["time_connect"] = time(self.connect_s)
        if tx.client != tx.peer_address:
            values["forwarded_for"] = templates.encoded_address(tx.client)
        return values
