"""TLS as a filter on any byte stream: ciphertext on one side, plaintext on the other.

A `TlsFilter` does no I/O: its owner reads, sends and sets deadlines. The owner passes in what it
has read (`feed`, `feed_eof`). After every other call it sends `ciphertext()` and reports `sent(n)`:
a handshake step, a failure, a read and a close may all produce bytes to send. After a `TlsError`
these bytes are the alert with the reason: send them, then close.

**End of the stream.** The plaintext ends in order only with the peer's close_notify. A connection
that ends without it raises `TlsError`, whatever the options of the context: OpenSSL is not informed
of the end of the connection, so none of its options can hide it.

**Half-close.** `close_notify` ends one direction; the other continues, in TLS 1.2 and 1.3.
`SSLObject.unwrap` sends close_notify and then reads, looking for the peer's close_notify; if it
reads application data instead, it fails the connection and loses that data. So it is called only
when OpenSSL has nothing to read: decrypted bytes and unread ciphertext are taken out before, and
put back after. A TLS 1.2 peer must reply with close_notify (RFC 5246, 7.2.1); TLS 1.3 does not
require it.

**Session tickets.** In TLS 1.3 a server sends them after the handshake. A client that never reads,
because it only uploads, would have them unread when it closes; its close would become a reset,
which discards its data in flight. So they wait for the first bytes that the server sends, and are
sent with these.
"""

from __future__ import annotations

import math
import ssl
from collections.abc import Iterator, Sequence
from time import time
from typing import TYPE_CHECKING, Any, Final, TypeAlias, final

from vcproxy.drivers.certificate import expiry, is_for, peer_certificate, subject
from vcproxy.drivers.tls_errors import failure_of
from vcproxy.engine.failures import CertificateRefused, TlsError

if TYPE_CHECKING:
    from vcproxy.drivers.tls_sessions import LastSession
    from vcproxy.engine.peer_certificate import PeerCertificate

Octets: TypeAlias = bytes | bytearray | memoryview

RECORD: Final = 16 * 1024
"""Plaintext bytes in the largest TLS record."""

MARK: Final = RECORD + 256
"""`write` takes nothing while more ciphertext than this waits to be sent: one record with the
largest overhead of TLS 1.3 (RFC 8446, 5.2). Larger marks were not faster (measured)."""

_SMALL: Final = 4 * 1024
"""Views shorter than this are joined into one record: copying them costs less than a record."""

_MAX_UNSENT: Final = 3 * MARK
"""Limit of unsent ciphertext; `write` alone never exceeds it. Beyond it there are replies that the
peer requests (KeyUpdate, RFC 8446, 4.6.3) but does not read: the connection fails."""

_NOTHING: Final = memoryview(b"")


class Truncated(TlsError):
    """The peer has ended its direction without close_notify; the other direction still works."""


class SniObject(ssl.SSLObject):
    """A server's `SSLObject` that stores the server name (SNI) that the client has sent."""

    sni: str | None = None


@final
class TlsFilter:
    """One TLS connection, as client or as server.

    Args:
        context: from `server_context` or `client_context`.
        server_side: whether this side is the server.
        server_hostname: client side: the DNS name or IP address that the server's certificate must
            contain; a DNS name is also sent as SNI. A final dot is removed (RFC 6066 section 3):
            certificates do not have it either.
        verify_name: client side: the name or address that the certificate must contain instead of
            `server_hostname`, with a context that does not check names. OpenSSL is not asked for
            it (Python's ssl cannot set it): the handshake is done before it is checked, so the
            server gets no alert.
        last: client side: the last session with this server. It is resumed if possible, and
            replaced after a full handshake. None: every handshake is a full one.

    Raises:
        ValueError: `server_hostname` is not a name, or is missing where the context verifies.
    """

    __slots__ = (
        "_closed", "_end", "_fin", "_incoming", "_kept", "_last", "_object", "_outgoing",
        "_reading", "_tickets", "_verify_name", "_wire", "alpn", "certificate", "established",
        "peer", "pending", "resumed", "sni",
    )  # fmt: skip

    def __init__(
        self,
        context: ssl.SSLContext,
        *,
        server_side: bool,
        server_hostname: str | None = None,
        verify_name: str | None = None,
        last: LastSession | None = None,
    ) -> None:
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        name = server_hostname and server_hostname.removesuffix(".")
        session = last.get() if last is not None else None
        self._object = context.wrap_bio(self._incoming, self._outgoing, server_side, name, session)
        self._verify_name = verify_name
        self._last = last  # where new sessions go; None once a session was offered
        self._tickets = 0  # bytes of tickets in the outgoing ciphertext, which wait for other data
        self._wire = _NOTHING  # ciphertext to send, already taken from OpenSSL
        self._kept = b""  # plaintext taken from OpenSSL before a half-close
        self._fin = False  # `feed_eof` was called
        self._closed = False  # our close_notify is queued
        self._end: TlsError | bool = False  # how plaintext ended; True: in order
        self._reading = True  # False once that end was returned or raised
        self.pending = not server_side
        """Whether the handshake, or a read, may make progress without further `feed`: the filter
        holds plaintext, undecrypted ciphertext, or an end of the stream that has not been returned
        yet. A client begins the handshake."""
        self.established = False
        self.resumed = False
        """Whether the handshake has resumed a session, once established."""
        self.sni: str | None = None
        """The server name that the client has sent (server side), in lower case and without a final
        dot, once established."""
        self.alpn: str | None = None
        """The negotiated application protocol, once established."""
        self.peer: str | None = None
        """Subject of the peer's verified certificate (RFC 4514), once established; None: none."""
        self.certificate: PeerCertificate | None = None
        """Server side: the client's verified certificate, once established; None: none."""

    def handshake(self) -> bool:
        """Continue the handshake with what was fed; return whether it is done.

        Raises:
            TlsError: the handshake failed, or the connection ended during it.
        """
        tls = self._object
        try:
            tls.do_handshake()
        except ssl.SSLWantReadError:
            self.pending = False
            if self._fin:
                raise TlsError("the peer closed the connection during the handshake") from None
            return False
        except ssl.SSLError as error:
            if self._last is not None:
                self._last.forget()
            raise failure_of(error) from error
        if tls.server_side and tls.version() == "TLSv1.3":
            self._tickets = self._outgoing.pending
        certificate = tls.getpeercert()
        self.resumed = bool(tls.session_reused)
        self._check(certificate)
        self.established = True
        self._update_pending()
        self.sni = getattr(tls, "sni", None)
        self.alpn = tls.selected_alpn_protocol()
        if certificate:
            self.peer = subject(certificate)
            if tls.server_side:
                der = tls.getpeercert(True)
                self.certificate = peer_certificate(certificate, der or b"")
        return True

    def _check(self, certificate: dict[str, Any] | None) -> None:
        """Check what OpenSSL does not. Raises CertificateRefused."""
        name, why = self._verify_name, ""
        if name is not None and not (certificate and is_for(certificate, name)):
            why = f"it is not for {name}"
        elif self.resumed and certificate and expiry(certificate) <= time():
            why = "certificate has expired"
        if why:
            raise CertificateRefused(f"the peer's certificate is refused: {why}")

    @property
    def parameters(self) -> tuple[str | None, str | None]:
        """The version and the cipher suite, as OpenSSL names them; None before they are agreed."""
        cipher = self._object.cipher()
        return (None, None) if cipher is None else (self._object.version(), cipher[0])

    def feed(self, ciphertext: Octets) -> None:
        """Pass in ciphertext that was read, complete records or not.

        OpenSSL's buffer keeps the size of the largest piece ever fed, until the connection ends.
        """
        self._incoming.write(ciphertext)
        self.pending = self._reading

    def feed_eof(self) -> None:
        """Pass in the end of the connection, after all that was fed."""
        self._fin = True
        self.pending = self._reading

    def read(self, size: int) -> bytes | None:
        """Return at most `size` bytes of plaintext, of one record.

        Only after the handshake; `size` must not be 0. Errors are raised only after all bytes
        before them have been returned.

        Returns:
            The bytes; None: more ciphertext is needed; b"": the orderly end.

        Raises:
            Truncated: the connection ended without close_notify.
            TlsError: the stream was damaged, or the peer reported an error.
        """
        data = b""
        if self._kept:
            data, self._kept = self._kept[:size], self._kept[size:]
        elif self._end is False:
            try:
                data = self._object.read(size)
            except ssl.SSLError as error:
                self._stop(error)
            else:
                self._end = not data
            if self._outgoing.pending:
                self._limit_replies()
        if not data:
            return b"" if self._returned_end() else None
        if self._last is not None:
            self._keep_session(self._last)
        if len(data) < size and not self._kept and self._end is False:
            # the record was read to its end: OpenSSL holds no more plaintext
            self.pending = self._fin or self._incoming.pending > 0
        else:
            self._update_pending()
        return data

    def read_into(self, view: memoryview) -> int | None:
        """Fill `view` with plaintext, from as many records as fit; otherwise as `read`.

        Returns:
            The number of bytes; None: more ciphertext is needed; 0: the orderly end.
        """
        size = len(view)
        taken = 0
        if self._kept:
            taken = min(size, len(self._kept))
            view[:taken] = self._kept[:taken]
            self._kept = self._kept[taken:]
        read, incoming, held = self._object.read, self._incoming, self._object.pending
        while taken < size and self._end is False:
            if taken and not (incoming.pending or held() or self._fin):
                break  # another read would raise SSLWantReadError, which costs as much as a read
            try:
                got = read(size - taken, view[taken:])
            except ssl.SSLError as error:
                self._stop(error)
                break
            taken += got  # type: ignore[operator]
            self._end = not got
        self._limit_replies()
        if taken:
            if self._last is not None:
                self._keep_session(self._last)
            self._update_pending()
            return taken
        return 0 if self._returned_end() else None

    def _keep_session(self, last: LastSession) -> None:
        """Keep the session of a full handshake, when the first data are read: in TLS 1.3 its ticket
        comes after the handshake."""
        self._last = None  # once for each connection: Python's copy of a session takes 0.1 ms
        tls = self._object
        session = None if self.resumed else tls.session
        if session is not None and (session.has_ticket or tls.version() != "TLSv1.3"):
            certificate = tls.getpeercert()
            last.keep(session, expiry(certificate) if certificate else math.inf)

    def _stop(self, error: ssl.SSLError) -> None:
        """Store why OpenSSL returned no plaintext, if no more will follow."""
        if isinstance(error, ssl.SSLWantReadError):
            if self._fin:
                self._end = Truncated("the stream was truncated: it ended without close_notify")
        elif isinstance(error, ssl.SSLZeroReturnError):
            self._end = True
        else:
            self._end = failure_of(error)
            self._end.__cause__ = error

    def _limit_replies(self) -> None:
        if self._end is False and len(self._wire) + self._outgoing.pending > _MAX_UNSENT:
            self._end = TlsError("the peer requests TLS replies and does not read them")

    def _update_pending(self) -> None:
        self.pending = self._reading and bool(
            self._incoming.pending
            or self._object.pending()
            or self._kept
            or self._fin
            or self._end is not False
        )

    def _returned_end(self) -> bool:
        """Return whether the stream has ended in order, or raise its error; False: it goes on."""
        self.pending = False
        if self._end is False:
            return False
        self._reading = False
        if self._end is True:
            return True
        raise self._end

    def write(self, views: Sequence[Octets]) -> int:
        """Encrypt `views` in order, up to MARK; return the plaintext bytes taken.

        Only after the handshake and before `close_notify`. Unsent ciphertext never exceeds MARK by
        more than one record.

        Raises:
            TlsError: the connection has already failed.
        """
        taken = 0
        room = MARK - len(self._wire)
        outgoing = self._outgoing
        write = self._object.write
        try:
            for record in _records(views):
                if outgoing.pending > room:
                    break
                taken += write(record)
        except ssl.SSLError as error:
            raise failure_of(error) from error
        return taken

    def encrypt(self, data: Octets) -> bytes:
        """Encrypt at most RECORD bytes, where nothing is unsent; return the ciphertext to send.

        `keep` must get the part that could not be sent. The same as `write` and `ciphertext`, in
        one step.

        Raises:
            TlsError: the connection has already failed.
        """
        try:
            self._object.write(data)
        except ssl.SSLError as error:
            raise failure_of(error) from error
        self._tickets = 0
        return self._outgoing.read()

    def keep(self, ciphertext: bytes) -> None:
        """Keep the end of what `encrypt` returned: it could not be sent."""
        self._wire = memoryview(ciphertext)

    def close_notify(self) -> None:
        """Queue close_notify after all that was written; reading continues.

        Does nothing before the handshake is done, and nothing the second time.
        """
        if self._closed or not self.established:
            return
        self._closed = True
        tls = self._object
        try:
            if waiting := tls.pending():
                self._kept = tls.read(waiting)
            unread = self._incoming.read()
            try:
                tls.unwrap()
            finally:
                self._incoming.write(unread)
        except ssl.SSLWantReadError:
            pass  # the peer's close_notify has not come yet: read_into will read it
        except ssl.SSLError:
            pass  # the connection had failed before, and its alert is queued

    def ciphertext(self) -> memoryview:
        """Return the next bytes to send, empty if there are none; more may follow them."""
        if not self._wire and self._outgoing.pending > self._tickets:
            self._tickets = 0
            self._wire = memoryview(self._outgoing.read())
        return self._wire

    @property
    def has_ciphertext(self) -> bool:
        """Whether there is ciphertext to send."""
        return bool(self._wire) or self._outgoing.pending > self._tickets

    def sent(self, count: int) -> None:
        """Report that the first `count` bytes of `ciphertext()` were sent."""
        self._wire = self._wire[count:] or _NOTHING


def _records(views: Sequence[Octets]) -> Iterator[Octets]:
    """Divide `views` into records: large views by reference, small adjacent ones as one copy."""
    joined = bytearray()
    for view in views:
        size = len(view)
        if size < _SMALL and len(joined) + size <= RECORD:
            joined += view
            continue
        if joined:
            yield joined
            joined = bytearray()
        if size <= RECORD:
            yield view
            continue
        whole = memoryview(view)
        for start in range(0, size, RECORD):
            yield whole[start : start + RECORD]
    if joined:
        yield joined
