"""TLS as a filter on any byte stream: ciphertext in and out on one side, plaintext on the other.

A `TlsFilter` is a value. It knows no socket, engine, clock or limit: handshake deadlines, and when
to read and send, are its owner's. The owner hands over what the wire gave (`feed`, `feed_eof`) and
after every other call sends `ciphertext()` and reports `sent(n)`: a handshake step, a refusal, a
read and a close may all have left bytes to send. After a `TlsError` what is left is the alert that
tells the peer why; send it, then close.

**Orderly or not.** Plaintext ends in order with the peer's close_notify and in no other way. A wire
that ends without it is a `TlsError`, whatever options the context carries: OpenSSL never learns of
the wire's end, so it cannot forgive one.

**Half-close.** `close_notify` ends one direction; the other goes on in TLS 1.2 and 1.3 alike.
`SSLObject.unwrap` sends close_notify and then looks for the peer's; meeting application data
instead, it kills the connection and loses that data. So it is only ever called when OpenSSL has
nothing to look at: decrypted bytes and unread ciphertext are taken out before, and given back
after. TLS 1.2 peers may answer with close_notify at once (RFC 5246, 7.2.1); TLS 1.3 peers need not.
"""

from __future__ import annotations

import re
import ssl
from collections.abc import Iterator, Sequence
from typing import Final, TypeAlias, final

from vcproxy.engine.failures import AlertReceived, CertificateRefused, TlsError

Octets: TypeAlias = bytes | bytearray | memoryview

RECORD: Final = 16 * 1024
"""Plaintext bytes in the largest TLS record."""

MARK: Final = RECORD + 256
"""`write` takes nothing while more ciphertext than this, one record with the largest overhead that
TLS 1.3 allows (RFC 8446, 5.2), waits to be sent. Larger marks measured no faster."""

_SMALL: Final = 4 * 1024
"""Views shorter than this are joined into one record: a copy of them costs less than a record."""

_MOST: Final = 3 * MARK
"""Ciphertext beyond this is none that `write` has left: the peer makes TLS answer (KeyUpdate, RFC
8446, 4.6.3) and takes no answers."""

_NOTHING: Final = memoryview(b"")


class Truncated(TlsError):
    """The peer has ended its direction without close_notify; the other one still works."""


class NamedObject(ssl.SSLObject):
    """An `SSLObject` that remembers the name its client asked for (server side)."""

    sni: str | None = None


@final
class TlsFilter:
    """One TLS connection, as client or as server.

    Args:
        context: from `server_context` or `client_context`.
        server_side: whether to play the server.
        server_hostname: client side: the DNS name or IP address that the server's certificate must
            carry; a DNS name is also sent as SNI, without a final dot (RFC 6066 section 3), which
            no certificate has either.

    Raises:
        ValueError: `server_hostname` is no name, or is missing where the context verifies.
    """

    __slots__ = (
        "_closed",
        "_end",
        "_fin",
        "_incoming",
        "_kept",
        "_object",
        "_outgoing",
        "_reading",
        "_wire",
        "alpn",
        "established",
        "peer",
        "sni",
    )

    def __init__(
        self,
        context: ssl.SSLContext,
        *,
        server_side: bool,
        server_hostname: str | None = None,
    ) -> None:
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        name = server_hostname and server_hostname.removesuffix(".")
        self._object = context.wrap_bio(self._incoming, self._outgoing, server_side, name)
        self._wire = _NOTHING  # ciphertext on its way out, already taken from OpenSSL
        self._kept = b""  # plaintext taken from OpenSSL before a half-close
        self._fin = False  # the wire has ended
        self._closed = False  # our close_notify is queued
        self._end: TlsError | bool = False  # how plaintext ended; True: in order
        self._reading = True  # until read_into has told that end
        self.established = False
        self.sni: str | None = None
        """The name the client asked for (server side), in lower case and without a final dot, once
        established."""
        self.alpn: str | None = None
        """The protocol both sides chose, once established."""
        self.peer: str | None = None
        """Subject of the peer's certificate (RFC 4514), once established; None: none verified."""

    def handshake(self) -> bool:
        """Take the handshake as far as the wire allows; True once it is done.

        Raises:
            TlsError: the handshake failed, or the wire ended in the middle of it.
        """
        try:
            self._object.do_handshake()
        except ssl.SSLWantReadError:
            if self._fin:
                raise TlsError("the peer closed the connection during the handshake") from None
            return False
        except ssl.SSLError as error:
            raise _failure(error) from error
        self.established = True
        self.sni = getattr(self._object, "sni", None)
        self.alpn = self._object.selected_alpn_protocol()
        certificate = self._object.getpeercert()
        self.peer = _subject(certificate["subject"]) if certificate else None  # type: ignore[arg-type]
        return True

    def feed(self, ciphertext: Octets) -> None:
        """Hand over what the wire gave, complete records or not.

        OpenSSL keeps memory for the largest amount ever fed, until the connection ends.
        """
        self._incoming.write(ciphertext)

    def feed_eof(self) -> None:
        """Say that the wire has ended; what was fed before it still counts."""
        self._fin = True

    @property
    def pending(self) -> bool:
        """Whether `read_into` has something to look at without new input from the wire.

        True while plaintext, undigested ciphertext or the untold end of the stream is inside;
        always False after `read_into` has returned None.
        """
        return self._reading and bool(
            self._incoming.pending
            or self._object.pending()
            or self._kept
            or self._fin
            or self._end is not False
        )

    def read_into(self, view: memoryview) -> int | None:
        """Fill `view` with plaintext, from as many records as it holds.

        Only after the handshake; `view` must not be empty.

        Returns:
            The number of bytes; None: no more before the wire gives more; 0: the orderly end.

        Raises:
            Truncated: the wire has ended without close_notify.
            TlsError: the stream was damaged, or the peer reports an error. Before either, all bytes
                that came before are returned.
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
                break  # to be told so by OpenSSL costs an exception, as much as the read itself
            try:
                got = read(size - taken, view[taken:])
            except ssl.SSLWantReadError:
                if not self._fin:
                    break
                self._end = Truncated("the stream was truncated: it ended without close_notify")
            except ssl.SSLZeroReturnError:
                self._end = True
            except ssl.SSLError as error:
                self._end = _failure(error)
                self._end.__cause__ = error
            else:
                taken += got  # type: ignore[operator]
                self._end = not got
        if self._end is False and len(self._wire) + self._outgoing.pending > _MOST:
            self._end = TlsError("the peer makes TLS answer, and takes no answers")
        if taken:
            return taken
        if self._end is False:
            return None
        self._reading = False
        if self._end is True:
            return 0
        raise self._end

    def write(self, views: Sequence[Octets]) -> int:
        """Encrypt `views` in order, as far as the mark allows; return the plaintext bytes taken.

        Only after the handshake and before `close_notify`. The ciphertext waiting never exceeds the
        mark by more than one record.

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
            raise _failure(error) from error
        return taken

    def close_notify(self) -> None:
        """Queue the orderly end of our direction behind all that was written; reading goes on.

        Before the handshake is done there is nothing to end, and a second call changes nothing.
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
            pass  # it looked for the peer's close_notify, which read_into will meet
        except ssl.SSLError:
            pass  # the connection has failed before, and its alert is queued

    def ciphertext(self) -> memoryview:
        """Return what has to be sent next, empty if nothing; there may be more behind it."""
        if not self._wire:
            self._wire = memoryview(self._outgoing.read())
        return self._wire

    @property
    def owes(self) -> bool:
        """Whether there is ciphertext to be sent."""
        return bool(self._wire or self._outgoing.pending)

    def sent(self, count: int) -> None:
        """Report that the wire took the first `count` bytes of `ciphertext()`."""
        self._wire = self._wire[count:] or _NOTHING


def _records(views: Sequence[Octets]) -> Iterator[Octets]:
    """Cut and join `views` into records: large views by reference, small neighbours as a copy."""
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


_SHORT: Final = {
    "commonName": "CN",
    "countryName": "C",
    "domainComponent": "DC",
    "localityName": "L",
    "organizationName": "O",
    "organizationalUnitName": "OU",
    "stateOrProvinceName": "ST",
    "userId": "UID",
}


def _subject(names: tuple[tuple[tuple[str, str], ...], ...]) -> str:
    """Spell a subject as RFC 4514 does, last name first; what could forge another is escaped."""
    return ",".join(
        "+".join(f"{_SHORT.get(kind, kind)}={_escaped(value)}" for kind, value in together)
        for together in reversed(names)
    )


def _escaped(value: str) -> str:
    return re.sub(r'[,+"\\<>;=\x00-\x1f\x7f]', lambda m: f"\\{ord(m[0]):02X}", value)


_PLAIN_WORDS: Final = {
    "HTTP_REQUEST": "the peer spoke plain HTTP, not TLS",
    "HTTPS_PROXY_REQUEST": "the peer spoke plain HTTP (CONNECT), not TLS",
    "WRONG_VERSION_NUMBER": "the peer does not speak TLS",
    "UNEXPECTED_MESSAGE": "the peer does not speak TLS, or breaks its rules",
    "UNSUPPORTED_PROTOCOL": "no TLS version in common with the peer",
    "VERSION_TOO_LOW": "no TLS version in common with the peer",
    "WRONG_SSL_VERSION": "no TLS version in common with the peer",
    "TLSV1_ALERT_PROTOCOL_VERSION": "no TLS version in common, says the peer",
    "CALLBACK_FAILED": "the peer asked for a name that is not ASCII",
    "UNSUPPORTED_SSL_VERSION": "no TLS version in common with the peer",
    "BAD_PROTOCOL_VERSION_NUMBER": "the peer does not speak TLS",
    "BAD_RECORD_TYPE": "the peer does not speak TLS, or breaks its rules",
    "PACKET_LENGTH_TOO_LONG": "the peer does not speak TLS, or breaks its rules",
    "NO_SHARED_CIPHER": "no cipher in common with the peer",
    "NO_SUITABLE_KEY_SHARE": "no group for the key exchange in common with the peer",
    "NO_SUITABLE_GROUPS": "no group for the key exchange in common with the peer",
    "NO_SHARED_GROUPS": "no group for the key exchange in common with the peer",
    "NO_SHARED_SIGNATURE_ALGORITHMS": "no signature algorithm in common with the peer",
    "NO_SUITABLE_SIGNATURE_ALGORITHM": "no signature algorithm in common with the peer",
    "NO_APPLICATION_PROTOCOL": "no application protocol in common with the peer",
    "SSLV3_ALERT_HANDSHAKE_FAILURE": (
        "nothing in common (cipher, group or certificate), says the peer"
    ),
    "PEER_DID_NOT_RETURN_A_CERTIFICATE": "the peer sent no certificate, and one is required",
    "TLSV13_ALERT_CERTIFICATE_REQUIRED": "the peer requires a certificate from us",
    "TLSV1_ALERT_UNKNOWN_CA": "the peer refused our certificate: unknown CA",
    "SSLV3_ALERT_CERTIFICATE_EXPIRED": "the peer refused our certificate: expired",
    "SSLV3_ALERT_CERTIFICATE_REVOKED": "the peer refused our certificate: revoked",
    "SSLV3_ALERT_CERTIFICATE_UNKNOWN": "the peer refused our certificate",
    "SSLV3_ALERT_BAD_CERTIFICATE": "the peer refused our certificate: not valid for it",
    "SSLV3_ALERT_UNSUPPORTED_CERTIFICATE": "the peer refused our certificate: wrong kind",
    "TLSV1_UNRECOGNIZED_NAME": "the peer has no certificate for the name we asked for",
    "TLSV1_ALERT_NO_APPLICATION_PROTOCOL": "no application protocol in common, says the peer",
    "DECRYPTION_FAILED_OR_BAD_RECORD_MAC": "the stream was damaged or forged on its way",
    "RECORD_LAYER_FAILURE": "the stream was damaged or forged on its way",  # from OpenSSL 3.5 on
    "SSLV3_ALERT_BAD_RECORD_MAC": "the stream was damaged or forged on its way, says the peer",
}

_UNKNOWN_CA: Final = frozenset({2, 18, 19, 20, 21})
"""OpenSSL's verify codes (x509_vfy.h) for a chain that ends at nobody we know."""


def _failure(error: ssl.SSLError) -> TlsError:
    """The same in plain words, and of its kind."""
    if isinstance(error, ssl.SSLCertVerificationError):
        why = error.verify_message
        if error.verify_code in _UNKNOWN_CA:
            why = f"unknown CA ({why})"
        return CertificateRefused(f"the peer's certificate is refused: {why}")
    reason = _reason(error)
    text = _PLAIN_WORDS.get(reason, f"TLS failed: {reason or error}")
    return (AlertReceived if "ALERT" in reason else TlsError)(text)


def _reason(error: ssl.SSLError) -> str:
    """OpenSSL's name of a reason. A Python that was built for an older OpenSSL does not know the
    new ones; the text has them in other letters: "[SSL] record layer failure (_ssl.c:2580)"."""
    known: str | None = getattr(error, "reason", None)
    if known is not None:
        return known
    found = re.fullmatch(r"\[SSL\] (.+) \(_ssl\.c:\d+\)", error.strerror or "")
    return found[1].upper().replace(" ", "_") if found else ""
