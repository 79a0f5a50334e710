"""VCLifecycle: a connection from accept or connect to its end, without the bytes it moves.

It is the base of NetVConnection, which adds reading and writing.

Tested in tests/engine/test_net.py, test_listener.py and test_outgoing.py.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Hashable
from functools import partial
from typing import TYPE_CHECKING

from vcproxy.engine.address import address_of, unmapped
from vcproxy.engine.event import Event
from vcproxy.engine.failures import HeaderLate, HeaderRefused, UntrustedSender
from vcproxy.engine.units import show_duration
from vcproxy.engine.vconnection import VConnection

if TYPE_CHECKING:
    from vcproxy.admission.refusal import Refusal
    from vcproxy.engine.continuation import Continuation
    from vcproxy.engine.engine import Engine
    from vcproxy.engine.listener import Listener
    from vcproxy.engine.mutex import Mutex
    from vcproxy.engine.outgoing import Outgoing
    from vcproxy.engine.peer_certificate import PeerCertificate
    from vcproxy.engine.port import Port
    from vcproxy.engine.scheduler import Action
    from vcproxy.proxy_protocol.header import ProxyHeader
    from vcproxy.proxy_protocol.senders import TrustedSenders

SHOWN = 32
"""Bytes of a refused PROXY header that are kept after the wrong one: they may be no header at all,
but the begin of another protocol, and have data of a client."""

NOT_YET = -1.0
"""The time of what has not happened yet."""

TLS_SIZE = 64 * 1024
"""Bytes that the TLS of a connection counts in the memory budget, from accept or connect to close.

Measured with OpenSSL 3.0: 20 KiB after the handshake; 60 KiB once 32 KiB or more were sent at a
time, because OpenSSL's buffers keep their largest size; 90 KiB while the peer reads nothing; 85 KiB
more once 64 KiB were received at a time. It is a constant, so that a recording need not contain
what OpenSSL does.
"""


class VCLifecycle(VConnection):
    """Where a connection came from, whether it is established, and how it ended."""

    __slots__ = (
        "_deadline",
        "_senders",
        "alpn",
        "certificate",
        "established_at",
        "first_at",
        "listener",
        "local",
        "open",
        "outgoing",
        "peer",
        "peer_address",
        "peer_certificate",
        "port",
        "proxied",
        "real_peer_address",
        "refusal",
        "secure",
        "session",
        "sni",
        "started_at",
        "tls_size",
    )

    def __init__(self, engine: Engine, mutex: Mutex, name: str) -> None:
        super().__init__(engine, mutex, name)
        self.port: Port | None = None
        """The driver's port; None until there is a connection."""
        self.listener: Listener | None = None
        """The listener that accepted the VC; None for a connection to a server (see `outgoing`)."""
        self.outgoing: Outgoing | None = None
        """How the VC is or was connected; None for an accepted one."""
        self.peer = ""
        self.peer_address = ""
        """The IP address of an accepted client; "" where it has none, as on a Unix socket. It is
        the address that a PROXY header names, or else that of the peer."""
        self.real_peer_address = ""
        """The IP address of an accepted peer: of the client, or of the load balancer that has sent
        the PROXY header of the client."""
        self.proxied: ProxyHeader | None = None
        """The PROXY header that the connection of an accepted client began with; None: none."""
        self.local = ""
        """Where an accepted client has connected to, as "host:port"; "" where it is not noted."""
        self.sni: str | None = None
        """The server name that the client has asked for in its TLS handshake, ended here or not."""
        self.alpn: str | None = None
        """The application protocol agreed on; those that the client offers, separated by commas, if
        its TLS is not ended here."""
        self.certificate: str | None = None
        """The subject of the peer's verified certificate."""
        self.peer_certificate: PeerCertificate | None = None
        """The verified certificate of an accepted client; None: it has presented none."""
        self.secure = False
        """Whether it was accepted with TLS."""
        self.tls_size = 0
        """Bytes that the TLS of the VC counts in the memory budget at present."""
        self.refusal: Refusal | None = None
        """Why the client is not served; None: it is."""
        self.session: Continuation | None = None
        """The session that serves this client, also while a tunnel has it; None once closed."""
        self.open = False
        """Whether the VC is established: connected, and its TLS handshake done."""
        self.started_at = self.established_at = self.first_at = NOT_YET
        """When connecting began, after the queue for a server; when it was established; when the
        first byte was received."""
        self._senders: TrustedSenders | None = None  # until the PROXY header has come
        self._deadline: Action | None = None

    def tls_parameters(self) -> tuple[str | None, str | None]:
        """Return the version and the cipher suite of its TLS, as OpenSSL names them.

        None: there is no TLS, or it is not known, as in a replay. For the log: nothing may depend
        on it.
        """
        return getattr(self.port, "tls_parameters", (None, None))

    # -- until it is established -------------------------------------------------------------

    def accepted_by(self, listener: Listener, peer: str) -> None:
        """Begin as an accepted connection: a PROXY header comes first, or the client is known."""
        self.listener = listener
        self.peer = peer
        if listener.recorder is not None:
            self.record = listener.recorder(self)  # type: ignore[arg-type]
        self.real_peer_address = address = address_of(peer)
        senders = listener.senders
        if senders is None or self.message_oriented:
            self.peer_address = address
            self._client_known()
        elif senders.trusts(address):
            self._senders = senders
            self.wait_at_most(listener.handshake_s)
        elif senders.others_direct:
            self.peer_address = address
            self._client_known()
        else:
            self.fail(UntrustedSender("its address is not in `from` of proxy_protocol"))

    def _client_known(self) -> None:
        """Count the client for its listener, and establish the connection, after its handshake."""
        listener = self.listener
        assert listener is not None
        listener.vc_made(self)  # type: ignore[arg-type]
        if not self.secure:
            self.establish()
        elif self.refusal is not None:  # closed now: a handshake costs more than a refusal
            with self.mutex.hold(self.engine):
                self.do_io_close()
        else:
            self.count_tls(True)
            self.wait_at_most(listener.handshake_s)

    def _introduce(self, header: ProxyHeader) -> None:
        """Use the client that a PROXY header names from now on."""
        assert self.listener is not None
        self.proxied = header
        self._stop_waiting()
        if header.has_addresses:
            self.peer = peer = unmapped(header.peer)
            self.peer_address = address_of(peer)
            self.name = f"{self.listener.name} {peer}"
        elif not header.protocol:  # the sender itself, or a client of which nothing is known
            self.peer_address = self.real_peer_address
        self._client_known()

    def count_tls(self, held: bool) -> None:
        """Begin or stop to count the TLS of the VC in the memory budget."""
        size = TLS_SIZE if held else 0
        memory = self.engine.memory
        memory.used += size - self.tls_size
        self.tls_size = size
        if held and memory.spent:  # nothing is read in a handshake, so no reading would begin it
            self.engine.memory_pressure.begin()

    def wait_at_most(self, seconds: float) -> None:
        """Fail the VC if it is not established within this time, in seconds; 0: no limit."""
        self.wait_until(self.engine.now + seconds if seconds else 0.0)

    def wait_until(self, when: float) -> None:
        """Fail the VC if it is not established by `when`, in the engine's time; 0: no limit."""
        if self._deadline is not None and self._deadline.when == when:
            return
        if self._deadline is not None:
            self._stop_waiting()
        if when:
            self._deadline = self.engine.schedule_at(when, self, Event.TIMEOUT, None)

    def establish(
        self, sni: str | None = None, alpn: str | None = None, certificate: str | None = None
    ) -> None:
        """Deliver ACCEPT or CONNECTED: the VC can be used from now on."""
        if self.closed:
            return
        self.sni, self.alpn, self.certificate = sni, alpn, certificate
        self.open = True
        self.established_at = self.engine.now
        if self._deadline is not None:
            self._stop_waiting()
        self._notify_established()

    @abstractmethod
    def _notify_established(self) -> None:
        """Notify the listener's acceptor, or the continuation that connects."""

    def handle_event(self, key: Hashable, data: object) -> None:
        """Handle the VC's own timers."""
        if key is Event.TIMEOUT:
            self._deadline = None
            if self.outgoing is not None:
                self.outgoing.expired()
            else:
                self.fail(self._too_late())
        else:
            super().handle_event(key, data)

    def _too_late(self) -> Exception:
        if self._senders is None:
            return TimeoutError("connection timed out in the TLS handshake")
        assert self.listener is not None
        limit = show_duration(self.listener.handshake_s)
        return HeaderLate(f"no complete PROXY header came within {limit}")

    def _stop_waiting(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    # -- its end -----------------------------------------------------------------------------

    def _notify_timeout(self, timeout: Event) -> None:
        if self.record is not None:
            self.record.expired()
        super()._notify_timeout(timeout)

    def expire(self) -> None:
        """Deliver INACTIVITY_TIMEOUT now, before the timeout has passed."""
        mutex, engine = self.mutex, self.engine
        if not mutex.try_acquire(engine):
            mutex.park(engine, self.expire)
            return
        if not self.closed:
            self._notify_timeout(Event.INACTIVITY_TIMEOUT)
        mutex.release(engine)

    def fail(self, error: Exception) -> None:
        """End both directions: the connection is broken, or could not be made."""
        mutex, engine = self.mutex, self.engine
        if not mutex.try_acquire(engine):
            mutex.park(engine, partial(self.fail, error))
            return
        if not self.closed and (self.error is None or self.unread):
            self._break(error)
            self.unread = False
            if not self.open:
                self._notify_failed(error)
            elif self.read_vio is not None:
                self.read_vio.end(Event.ERROR)
        mutex.release(engine)

    def _break(self, error: Exception) -> None:
        """Mark the connection as broken: nothing is written any more. The mutex is held."""
        self.error = self.error or error.with_traceback(
            None
        )  # the frames of its traceback refer to this VC: a cycle
        self._stop_waiting()
        if self.record is not None:
            self.record.broke(self.error)
        if self.open and self.write_vio is not None:
            self.write_vio.end(Event.ERROR)

    def _notify_failed(self, error: Exception) -> None:
        if self.outgoing is not None:
            self.outgoing.notify(Event.ERROR)
        else:
            if self.listener is not None:
                self.listener.counts_of(self.engine).failed += 1
            # An orderly close, not a reset: a TLS alert with the reason is still being sent.
            if isinstance(error, HeaderRefused) and self.listener is not None:
                self.listener.warn_refused(self.engine, self.peer, error)
            elif isinstance(error, ConnectionResetError):  # most of these are health checks
                pass
            elif self.listener is not None:
                self.listener.log_failed(self.engine, self.name, error)
            else:
                self.engine.log("info", f"{self.name}: {error}")
            self.do_io_close()

    # -- called by the driver ----------------------------------------------------------------

    def soon(self, call: Callable[[], object]) -> None:
        """Make a driver call about this VC in the next turn, unless `gone()` comes first.

        For events that cannot be reported where they are found: under a lock, or on another thread.
        """
        self.engine.inbox.feed(partial(self._unless_gone, call))

    def _unless_gone(self, call: Callable[[], object]) -> None:
        if self in self.engine.vcs:
            call()

    def introduced(self, data: bytes) -> None:
        """Record the PROXY header that the connection begins with: all its bytes, or so many that
        they cannot become a header. See `Listener.awaits_header`."""
        senders, self._senders = self._senders, None
        assert senders is not None
        try:
            parsed = senders.parse(data)
        except ValueError as error:  # InvalidHeader
            self._refuse(str(error), data, getattr(error, "position", 0))
            return
        if parsed is None:
            self._refuse("it is cut", data, len(data))
        elif not self.closed:
            self._introduce(parsed.header)

    def _refuse(self, reason: str, data: bytes, position: int) -> None:
        """Refuse the client for what it has sent as a PROXY header."""
        engine, listener = self.engine, self.listener
        assert listener is not None
        kept = data[: position + SHOWN]
        engine.refused.add(
            "PROXY header", reason, kept, position, listener=listener.name, client=self.name
        )
        self.fail(HeaderRefused(f"its PROXY header is not valid at byte {position}: {reason}"))

    def presented(self, certificate: PeerCertificate) -> None:
        """Record the verified certificate of an accepted client; `established` follows."""
        self.peer_certificate = certificate

    def established(
        self, sni: str | None = None, alpn: str | None = None, certificate: str | None = None
    ) -> None:
        """Record that the TLS handshake is done."""
        self.establish(sni, alpn, certificate)

    def ended(self, error: Exception | None = None) -> None:
        """Record that the peer has ended its direction, and that all its data have been read.

        `error`: why the end is not orderly, although the other direction still works.
        """
        self._end_reading(error)

    def _end_reading(self, error: Exception | None) -> None:
        mutex, engine = self.mutex, self.engine
        if not mutex.try_acquire(engine):
            mutex.park(engine, partial(self._end_reading, error))
            return
        self.read_error = error and error.with_traceback(None)
        self._end_event = Event.EOS if error is None else Event.ERROR
        if self.read_vio is not None:
            self.read_vio.end(self._end_event)
        mutex.release(engine)

    def broke(self, error: Exception) -> None:
        """Record that the connection has broken while earlier data cannot be read at present.

        The writer gets ERROR now, and so does a reader that has no room or reads nothing; any other
        reader gets it from `failed`, which the driver must call once all has been read.
        """
        self._break_unread(error)

    def _break_unread(self, error: Exception) -> None:
        mutex, engine = self.mutex, self.engine
        if not mutex.try_acquire(engine):
            mutex.park(engine, partial(self._break_unread, error))
            return
        if not self.closed and self.error is None:
            self.unread = True
            self._break(error)
            vio = self.read_vio
            if vio is not None and (vio.ntodo == 0 or vio.buffer.full):
                vio.end(Event.ERROR)
        mutex.release(engine)

    def failed(self, error: Exception) -> None:
        """Record that the connection has broken, after all earlier data have been read, or that its
        handshake has failed."""
        self.fail(error)
