"""ConnectionLog: the access log of one client connection: a record for each of its requests.

It is the connection's ConnectionRecord once the session serves it: a request that is in progress
when the connection is closed, by whatever, has a record too. A connection without a request has
none. Tested in tests/http/proxy/test_access_log.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vcproxy.access_log.ending import By, End, Phase
from vcproxy.access_log.record import cause_of
from vcproxy.http.proxy.request_ending import refused_end, request_phase
from vcproxy.http.proxy.request_record import RequestRecord

if TYPE_CHECKING:
    from vcproxy.access_log.log import AccessLog
    from vcproxy.engine.connection_record import ByLetter, PhaseLetter
    from vcproxy.engine.net import NetVConnection
    from vcproxy.http.message.bad_message import BadMessage
    from vcproxy.http.message.messages import Request
    from vcproxy.http.proxy.connection import HttpProxy
    from vcproxy.http.proxy.failure import Failure
    from vcproxy.http.proxy.record_templates import RecordTemplates, Template


class ConnectionLog:
    """Writes the records of one client's requests. See ConnectionRecord for what the engine
    calls."""

    __slots__ = (
        "_broken", "_connection", "_noted", "connection_id", "dropped", "encoded",
        "extra", "id_form", "log", "place", "template", "templates", "values",
    )  # fmt: skip

    id_form: bytes
    """A template of the operator %, for the number of a request: its encoded identifier."""

    def __init__(self, log: AccessLog, templates: RecordTemplates, client: NetVConnection) -> None:
        tls, cipher = client.tls_parameters()
        self.log = log
        self.templates = templates
        """Those of the listener."""
        self._connection: HttpProxy | None = None
        self._broken: Exception | None = None
        self._noted: tuple[By, object] | None = None
        self.dropped: int | None = None
        """See ConnectionRecord: no messages are dropped."""
        self.connection_id = client.id
        """The identifier of the connection: those of its requests begin with it."""
        self.values: dict[str, object] = {
            "client": client.peer,
            "proxied_by": client.real_peer_address if client.proxied is not None else None,
            "tls": tls,
            "cipher": cipher,
            "sni": client.sni,
            "alpn": client.alpn,
            "certificate": client.certificate,
        }
        """What all its records have, by field."""
        self.encoded: dict[str, bytes] | None = None
        """`values` as RecordTemplates encodes them; None: not yet."""
        self.place: tuple[bytes, str, bytes] | None = None
        """The form of the last request on the direct path, its server, and the status."""
        self.template: Template | None = None
        """For such requests, once there were two of them in succession."""
        self.extra: dict[str, object] | None = None
        """The session's own fields, in all its records."""

    def follow(self, connection: HttpProxy) -> None:
        """Follow this session of the client, until the client's connection is closed."""
        self._connection = connection

    # -- requests ----------------------------------------------------------------------------

    def begin(self, request: Request, began_s: float) -> RequestRecord:
        """Return the record of a request, which has begun."""
        assert self._connection is not None
        self._noted = None
        return RequestRecord(self, request, began_s, self._connection.requests)

    def refused(
        self, end: End, reason: object, status: int | None, began_s: float, number: int
    ) -> None:
        """Write the record of what is no valid request."""
        log = self.log
        self.write(
            self.values
            | {
                "time": log.time(began_s),
                "id": f"{self.connection_id}-{number}",
                "status": status,
                "answered_by": None if status is None else "vcproxy",
                "bytes_up": 0,
                "bytes_down": 0,
                "time_total": log.engine.now - began_s,
                "end": str(end),
                "reason": str(reason),
                "extra": self.extra,
            }
        )

    def invalid(self, problem: BadMessage, began_s: float, number: int) -> None:
        """Write the record of an invalid request, which is answered by the status of `problem`."""
        self.refused(refused_end(problem), problem, problem.status, began_s, number)

    def excess(self, failure: Failure, began_s: float) -> None:
        """Write the record of a connection that is answered by 403 or 429, without a session."""
        end = End(By.POLICY, Phase.HANDSHAKE)
        self.refused(end, failure.why, failure.status, began_s, 1)

    def cut(self, error: Exception, began_s: float, number: int) -> None:
        """Write the record of a head inside of which the client's connection has failed."""
        end = End(By(cause_of(error, "C", "c")), Phase.REQUEST)
        self.refused(end, error, None, began_s, number)

    def write(self, values: dict[str, object]) -> None:
        """Write a record with these values."""
        self.log.write(self.templates.pattern.line(values))

    # -- called by the engine and by tunnels -------------------------------------------------

    def tunnel_ended(self, record: RequestRecord) -> None:
        """Note in the record of a request why its tunnel has ended."""
        if self._noted is not None:
            by, reason = self._noted
            record.ended(End(by, Phase.DATA), reason)

    def broke(self, error: Exception) -> None:
        """Remember that the client's connection has broken."""
        self._broken = error

    def expired(self) -> None:
        """Ignore a timeout: the session handles it."""

    def note(self, by: ByLetter, reason: object = "", phase: PhaseLetter | None = None) -> None:
        """Remember what ends the connection, or a tunnel of its requests."""
        if self._noted is None:
            self._noted = By(by), reason

    def stopped(self) -> None:
        """Write the record of a request that is in progress: the proxy stops."""
        self.note("K", "the proxy was stopped")
        self.closed()

    def closed(self) -> None:
        """Write the record of a request that is in progress: the connection is being closed."""
        connection = self._connection
        if connection is None:
            return
        exchange = connection.exchange
        direct = connection.direct
        if exchange is None and direct is not None:
            exchange = direct.response.unfinished()
        self._connection = None
        if exchange is None or exchange.tx.record is None:
            return
        by, reason = self._noted or self._reason(connection.client)
        exchange.tx.record.ended(End(by, request_phase(exchange)), reason)
        exchange.tx.record.write(exchange)

    def _reason(self, client: NetVConnection) -> tuple[By, object]:
        broken, error = self._broken, client.error
        if broken is not None:
            return By(cause_of(broken, "C", "c")), broken
        if error is None:
            return By.KILLED, "the connection was closed"
        by: ByLetter = "P" if isinstance(error, OSError) else "I"
        return By(cause_of(error, by, by)), error
