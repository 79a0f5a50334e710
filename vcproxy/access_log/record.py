"""SessionRecord and LegRecord: they follow a connection, and write its record when it closes.

A SessionRecord exists from the accept on, so what is refused before a session exists has a record
too. The session, its tunnel and the limits of access note why the connection ends with `note`: the
first note counts. Without one, it has ended in order, or its error is the reason.

For HTTP the session replaces it when it begins, and writes a record for each request: see
ConnectionLog.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vcproxy.access_log.ending import NORMAL_END, By, End, Phase
from vcproxy.engine.failures import Exhausted, Killed, NoRoom, UntrustedSender
from vcproxy.engine.lifecycle import NOT_YET

if TYPE_CHECKING:
    from vcproxy.access_log.fields import Kind
    from vcproxy.access_log.log import AccessLog
    from vcproxy.access_log.pattern import Pattern
    from vcproxy.engine.connection_record import ByLetter, PhaseLetter
    from vcproxy.engine.net import NetVConnection


_OF_TLS = ("tls", "cipher", "sni", "alpn", "certificate", "time_handshake")


class _Record:
    """What both have in common. See ConnectionRecord for what the engine calls."""

    __slots__ = ("_broken", "_end", "_expired_at", "_reason", "dropped", "extra", "log", "vc")

    def __init__(self, log: AccessLog, vc: NetVConnection) -> None:
        """Make it, when the connection is accepted, or requested."""
        self.log = log
        self.vc = vc
        self.dropped: int | None = None
        self.extra: dict[str, object] | None = None
        """The plugin's own fields."""
        self._end: End | None = None
        self._reason = ""
        self._broken: Exception | None = None
        self._expired_at = NOT_YET

    def note(self, by: ByLetter, reason: object = "", phase: PhaseLetter | None = None) -> None:
        """See ConnectionRecord."""
        if self._end is None:
            self._end = End(By(by), self.phase() if phase is None else Phase(phase))
            self._reason = str(reason)

    def broke(self, error: Exception) -> None:
        """See ConnectionRecord."""
        self._broken = error

    def expired(self) -> None:
        """See ConnectionRecord."""
        self._expired_at = self.log.engine.now

    def stopped(self) -> None:
        """See ConnectionRecord."""
        self.note("K", "the proxy was stopped")
        self.closed()

    def phase(self) -> Phase:
        """Return the phase that the connection is in."""
        raise NotImplementedError

    def closed(self) -> None:
        """See ConnectionRecord."""
        raise NotImplementedError

    @property
    def kind(self) -> Kind:
        """The kind of the record."""
        return "udp" if self.vc.message_oriented else "tcp"

    def _write(self, pattern: Pattern, end: End, reason: str, values: dict[str, object]) -> None:
        """Write the record, with the fields that both have."""
        log, vc = self.log, self.vc
        began = vc.opened_at
        values["time"] = log.time(began)
        values["id"] = vc.id
        values["dropped"] = self.dropped
        values["time_total"] = log.engine.now - began
        values["end"] = "--" if end is NORMAL_END else str(end)
        values["reason"] = reason or None
        values["extra"] = self.extra
        log.write(pattern.line(values))


class SessionRecord(_Record):
    """The record of one accepted connection."""

    __slots__ = ("plugin", "route", "server", "tried", "upstream", "validating", "verdicts")

    def __init__(self, log: AccessLog, vc: NetVConnection, plugin: str = "") -> None:
        """Make it, when the connection is accepted."""
        super().__init__(log, vc)
        self.plugin: str | None = plugin or None
        self.route: str | None = None
        self.upstream: str | None = None
        self.server: NetVConnection | None = None
        """The last connection to a server."""
        self.tried: list[str] = []
        """The names of the servers that had failed before."""
        self.validating = False
        """Whether messages of the client are validated before there is a server."""
        self.verdicts: dict[str, int] | None = None
        """How often each verdict was given; None: there is no validator."""

    def verdict(self, name: str) -> None:
        """Count a verdict of a validator."""
        if self.verdicts is None:
            self.verdicts = {}
        self.verdicts[name] = self.verdicts.get(name, 0) + 1

    def phase(self) -> Phase:
        """Return the phase that the session is in."""
        server = self.server
        if not self.vc.open:
            return Phase.HANDSHAKE
        if server is None:
            if self.validating:
                return Phase.VALIDATING
            return Phase.CONNECTING if self.tried else Phase.DATA
        if not server.open:
            waiting = server.started_at == NOT_YET and isinstance(
                server.error, TimeoutError | NoRoom | None
            )
            return Phase.QUEUE if waiting else Phase.CONNECTING
        return Phase.LAST_DATA if server.has_ended else Phase.DATA

    def closed(self) -> None:
        """Write the record: the client's connection is being closed."""
        end, reason = self._ending()
        if not self.log.takes(end == NORMAL_END):
            return
        vc, server = self.vc, self.server
        began = vc.opened_at
        values: dict[str, object] = {
            "client": vc.peer or None,
            "route": self.route,
            "upstream": self.upstream,
            "tried": self.tried,
            "bytes_up": vc.bytes_read,
            "bytes_down": vc.bytes_written,
            "verdicts": self.verdicts,
        }
        tls = vc.secure or vc.sni is not None or vc.alpn is not None  # also TLS that is not ended
        if tls:
            values["tls"], values["cipher"] = vc.tls_parameters()
            values |= {"sni": vc.sni, "alpn": vc.alpn, "certificate": vc.certificate}
            if vc.secure and vc.open:
                values["time_handshake"] = vc.established_at - began
        if vc.proxied is not None:
            values["proxied_by"] = vc.real_peer_address
        if server is not None:
            values |= _times(server, began, self.log.engine.now)
            if server.started_at != NOT_YET:
                values["server"] = server.name
        listener = vc.listener.name if vc.listener is not None else None
        same = (self.kind, listener, self.plugin, tls, vc.proxied is not None)
        pattern = self.log.filled.get(same) or self._filled(*same)
        self._write(pattern, end, reason, values)

    def _filled(
        self, kind: Kind, listener: str | None, plugin: str | None, tls: bool, proxied: bool
    ) -> Pattern:
        """Return the pattern for records that have this in common; the next one finds it."""
        log = self.log
        values: dict[str, object] = {
            "kind": kind, "listener": listener, "plugin": plugin, "parent": None
        }  # fmt: skip
        if not tls:
            values |= dict.fromkeys(_OF_TLS)
        if not proxied:
            values["proxied_by"] = None
        same = (kind, listener, plugin, tls, proxied)
        pattern = log.filled[same] = log.pattern(kind).filled(values)
        return pattern

    def _ending(self) -> tuple[End, str]:
        """Return how the connection has ended, and why in words."""
        broken, vc, server = self._broken, self.vc, self.server
        if broken is not None:
            self.note(cause_of(broken, "C", "c"), broken)
        elif self._expired_at >= vc.moved_at and not vc.message_oriented:
            self.note("c", "connection timed out")
        elif server is not None and server.error is not None:
            self.note(cause_of(server.error, "S", "s"), server.error)
        elif not vc.open:
            self.note("P", "refused before the session")
        elif vc.error is not None:  # closed with a reset
            by: ByLetter = "P" if isinstance(vc.error, OSError) else "I"
            self.note(cause_of(vc.error, by, by), vc.error)
        return self._end or NORMAL_END, self._reason


class LegRecord(_Record):
    """The record of a connection that the proxy has opened for another, or for itself: to a
    mirror, or to a target of a relay. Its bytes are those to and from that server."""

    __slots__ = ("_by", "_listener", "_parent", "_server")

    def __init__(
        self,
        log: AccessLog,
        vc: NetVConnection,
        server: str,
        *,
        listener: str,
        parent: str = "",
        mirror: bool = False,
    ) -> None:
        """Make it, when the connection is requested.

        Args:
            log: the access log of the listener.
            vc: the connection.
            server: the name of the server.
            listener: the name of the listener.
            parent: the id of the client's connection; "": there is none.
            mirror: whether it is a mirror's, so that all its failures are those of a mirror.
        """
        super().__init__(log, vc)
        self._by: ByLetter = "M" if mirror else "S"
        self._listener = listener
        self._parent = parent
        self._server = server

    def phase(self) -> Phase:
        """Return the phase that the connection is in."""
        return Phase.DATA if self.vc.open else Phase.CONNECTING

    def closed(self) -> None:
        """Write the record: the connection is being closed."""
        end, reason = self._ending()
        if not self.log.takes(end == NORMAL_END):
            return
        vc = self.vc
        values: dict[str, object] = {
            "kind": self.kind,
            "parent": self._parent or None,
            "listener": self._listener,
            "server": self._server,
            "bytes_up": vc.bytes_written,
            "bytes_down": vc.bytes_read,
            **_times(vc, vc.opened_at, self.log.engine.now),
        }
        self._write(self.log.pattern(self.kind), end, reason, values)

    def _ending(self) -> tuple[End, str]:
        error = self._broken or self.vc.error
        if error is not None:
            self.note(cause_of(error, self._by, self._by), error)
        return self._end or NORMAL_END, self._reason


def cause_of(error: Exception, by: ByLetter, timeout: ByLetter) -> ByLetter:
    """Return what an error of a connection stands for: `by`, or for a timeout `timeout`."""
    if isinstance(error, UntrustedSender):
        return "P"
    if isinstance(error, Exhausted | NoRoom | MemoryError):
        return "R"
    if isinstance(error, Killed):
        return "K"
    return timeout if isinstance(error, TimeoutError) else by


def _times(server: NetVConnection, began: float, now: float) -> dict[str, object]:
    """Return how long each step to a server has taken, as far as it came. `began`: when the session
    began."""
    started, opened, first = server.started_at, server.established_at, server.first_at
    return {
        "time_queue": (now if started == NOT_YET else started) - server.opened_at,
        "time_connect": None if opened == NOT_YET else opened - started,
        "time_first_byte": None if first == NOT_YET else first - began,
    }
