"""SessionRecord: follows one accepted connection, and writes its record when it closes.

It exists from the accept on, so what is refused before a session exists has a record too. The
session, its tunnel and the limits of access note why the connection ends with `note`: the first
note counts. Without one, it has ended in order, or its error is the reason.

For HTTP the session takes the record away (`vc.record = None`) when it begins, and writes one for
each request: see vcproxy.http.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vcproxy.access_log.ending import NORMAL_END, By, End, Phase
from vcproxy.engine.failures import Exhausted
from vcproxy.engine.lifecycle import NOT_YET

if TYPE_CHECKING:
    from vcproxy.access_log.fields import Kind
    from vcproxy.access_log.log import AccessLog
    from vcproxy.engine.net import NetVConnection


class SessionRecord:
    """The record of one accepted connection. See ConnectionRecord for what the engine calls."""

    __slots__ = (
        "_broken", "_end", "_expired_at", "_reason", "client", "dropped", "extra", "log", "plugin",
        "route", "server", "tried", "upstream", "validating", "verdicts",
    )  # fmt: skip

    def __init__(self, log: AccessLog, client: NetVConnection, plugin: str = "") -> None:
        """Make it, when the connection is accepted."""
        self.log = log
        self.client = client
        self.plugin: str | None = plugin or None
        self.route: str | None = None
        self.upstream: str | None = None
        self.server: NetVConnection | None = None
        """The last connection to a server."""
        self.tried: list[str] = []
        """The names of the servers that had failed before."""
        self.validating = False
        """Whether the next message of the client is validated."""
        self.verdicts: dict[str, int] | None = None
        """How often each verdict was given; None: there is no validator."""
        self.dropped: int | None = None
        """Messages that were dropped for this client; None: none can be."""
        self.extra: dict[str, object] | None = None
        """The plugin's own fields."""
        self._end: End | None = None
        self._reason = ""
        self._broken: Exception | None = None
        self._expired_at = -1.0

    def note(self, by: By, reason: object = "", phase: Phase | None = None) -> None:
        """Note what ends the connection; only the first note counts. `phase`: None: the present
        one."""
        if self._end is None:
            self._end = End(by, Phase.DONE if by is By.NORMAL else phase or self.phase())
            self._reason = str(reason)

    def verdict(self, name: str) -> None:
        """Count a verdict of a validator."""
        if self.verdicts is None:
            self.verdicts = {}
        self.verdicts[name] = self.verdicts.get(name, 0) + 1

    def phase(self) -> Phase:
        """Return the phase that the session is in."""
        client, server = self.client, self.server
        if not client.open:
            return Phase.HANDSHAKE
        if server is None:
            if self.validating:
                return Phase.VALIDATING
            return Phase.CONNECTING if self.tried else Phase.DATA
        if not server.open:
            waiting = server.started_at == NOT_YET and isinstance(server.error, TimeoutError | None)
            return Phase.QUEUE if waiting else Phase.CONNECTING
        return Phase.LAST_DATA if server.has_ended else Phase.DATA

    # -- called by the engine ----------------------------------------------------------------

    def broke(self, error: Exception) -> None:
        """Remember that the client's connection has broken."""
        self._broken = error

    def expired(self) -> None:
        """Remember that a timeout of the client was delivered."""
        self._expired_at = self.log.engine.now

    def closed(self) -> None:
        """Write the record: the client's connection is being closed."""
        end, reason = self._ending()
        log, client, server = self.log, self.client, self.server
        if not log.takes(end == NORMAL_END):
            return
        kind: Kind = "udp" if client.message_oriented else "tcp"
        began, established, now = client.opened_at, client.established_at, log.engine.now
        first = NOT_YET if server is None else server.first_at
        tls, cipher = client.tls_parameters()
        values: dict[str, object] = {
            "time": log.time(began),
            "kind": kind,
            "id": client.id,
            "listener": client.listener.name if client.listener is not None else None,
            "client": client.peer,
            "tls": tls,
            "cipher": cipher,
            "sni": client.sni,
            "alpn": client.alpn,
            "certificate": client.certificate,
            "plugin": self.plugin,
            "route": self.route,
            "upstream": self.upstream,
            "tried": self.tried,
            "bytes_up": client.bytes_read,
            "bytes_down": client.bytes_written,
            "time_handshake": established - began if client.secure and client.open else None,
            "time_first_byte": None if first == NOT_YET else first - began,
            "time_total": now - began,
            "verdicts": self.verdicts,
            "dropped": self.dropped,
            "end": str(end),
            "reason": reason or None,
            "extra": self.extra,
        }
        if server is not None:
            started, opened = server.started_at, server.established_at
            begun = started != NOT_YET
            values["server"] = server.name if begun else None
            values["time_queue"] = (started if begun else now) - server.opened_at
            values["time_connect"] = None if opened == NOT_YET else opened - started
        log.write(log.pattern(kind).line(values))

    def _ending(self) -> tuple[End, str]:
        """Return how the connection has ended, and why in words."""
        if self._end is not None:
            return self._end, self._reason
        broken, client = self._broken, self.client
        if broken is not None:
            return End(_cause_of(broken, By.CLIENT, By.CLIENT_TIMEOUT), self.phase()), str(broken)
        if self._expired_at >= client.moved_at and not client.message_oriented:
            return End(By.CLIENT_TIMEOUT, self.phase()), "connection timed out"
        server = self.server
        if server is not None and server.error is not None:
            by = _cause_of(server.error, By.SERVER, By.SERVER_TIMEOUT)
            return End(by, self.phase()), str(server.error)
        error = client.error
        if client.excess:
            return End(By.POLICY, Phase.HANDSHAKE), "the client has max_per_client connections"
        if error is not None:  # closed with a reset
            by = By.POLICY if isinstance(error, OSError) else By.INTERNAL
            return End(_cause_of(error, by, by), self.phase()), str(error)
        return NORMAL_END, ""


def _cause_of(error: Exception, by: By, timeout: By) -> By:
    """Return what an error of a connection stands for: `by`, or for a timeout `timeout`."""
    if isinstance(error, Exhausted | MemoryError):
        return By.RESOURCE
    return timeout if isinstance(error, TimeoutError) else by
