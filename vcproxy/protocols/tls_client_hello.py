"""ClientHello: what the first message of a TLS client says, as a value, and the reader of it.

The message is RFC 8446, 4.1.2, in records of 5.1; all versions of TLS begin in the same way.
`server_name` is RFC 6066, 3; `alpn` is RFC 7301, 3.1. All other extensions are skipped, known or
not: key shares of any size, and values that clients send to find intolerant servers (GREASE, RFC
8701). With Encrypted ClientHello the names are those of the outer message: only the server can read
the inner one.

A message that two readers could understand differently is refused: a proxy would route it by
one name, and the server would use the other.

Tested in tests/protocols/test_tls_client_hello.py.
"""

from __future__ import annotations

import re
from typing import NamedTuple

LIMIT = 64 * 1024
"""Bytes of the records up to the end of the message. Real ones have 200 to 2000 bytes, with a key
share of ML-KEM-1024 and an encrypted inner message 4000. HAProxy and nginx take 16 KiB, OpenSSL 128
KiB."""

ALPN_LIMIT = 2 * 1024
"""Bytes of the list of protocols: eight of the longest names, and twenty times what real clients
offer. Longer lists would cost time, and they are kept with the connection, for what is shown of
it."""

DECODE_ERROR, UNRECOGNIZED_NAME = 50, 112
PROTOCOL_VERSION, ILLEGAL_PARAMETER, UNEXPECTED_MESSAGE, RECORD_OVERFLOW = 70, 47, 10, 22
"""Alerts of TLS (RFC 8446, 6.2)."""

_HANDSHAKE, _CLIENT_HELLO = 22, 1
_SERVER_NAME, _ALPN = 0, 16
_HOST_NAME = 0
_RECORD_HEAD, _MESSAGE_HEAD = 5, 4
_LARGEST_RECORD = 1 << 14
_RANDOM_END = 34
"""Where the session id begins: after the version and 32 random bytes."""

_ascii_name = re.compile(rb"[!-~]{1,255}").fullmatch
_name = re.compile(rb"[!-~\x80-\xff]{1,255}").fullmatch
"""Matches what may be a name. Clients that convert no international names send UTF-8."""


class NotTls(ValueError):
    """The client does not begin with TLS."""


class InvalidClientHello(ValueError):
    """The client begins with TLS, but not with a valid ClientHello. `alert`: the number of the
    alert with the reason."""

    def __init__(self, reason: str, alert: int = DECODE_ERROR) -> None:
        super().__init__(reason)
        self.alert = alert


class ClientHello(NamedTuple):
    """What routing needs of a ClientHello."""

    server_name: str | None = None
    """The name as the client has sent it: in any case, perhaps with a final dot. None: it has sent
    none."""
    alpn: tuple[str, ...] = ()
    """The application protocols that it offers, in its order; what is not printable is escaped."""


class ClientHelloReader:
    """Reads the records that a client begins with, cut in any way, until its ClientHello is
    complete. It holds at most LIMIT bytes."""

    __slots__ = ("_message", "_records", "_size")

    def __init__(self) -> None:
        self._records = bytearray()  # what came after the last complete record
        self._message = b""
        self._size = 0  # bytes of the complete records

    @property
    def held(self) -> int:
        """Bytes that it holds."""
        return len(self._records) + len(self._message)

    @property
    def size(self) -> int:
        """Bytes that have come so far."""
        return self._size + len(self._records)

    def feed(self, data: bytes) -> ClientHello | None:
        """Take the next bytes of the client; return the message once it is complete.

        None: more must come. Bytes after the message are ignored. Raises NotTls,
        InvalidClientHello; with whatever follows, the result would be the same.
        """
        records: bytes | bytearray = data[: LIMIT - self.size]
        if self._records:
            self._records += records
            records = self._records
        if not records:
            return None
        if not self._size:
            _check_begin(records)
        at, size, message = 0, len(records), self._message
        while size - at >= _RECORD_HEAD:
            kind, major, _, high, low = records[at : at + _RECORD_HEAD]
            length = high << 8 | low
            if kind != _HANDSHAKE or major != 3:
                raise InvalidClientHello(
                    f"a record of type {kind} comes before its end", UNEXPECTED_MESSAGE
                )
            if not 0 < length <= _LARGEST_RECORD:
                raise InvalidClientHello(f"a record has {length} bytes", RECORD_OVERFLOW)
            end = at + _RECORD_HEAD + length
            if end > size:
                _check_head(message + records[at + _RECORD_HEAD : at + 9])
                break
            message += records[at + _RECORD_HEAD : end]
            at = end
            whole = _check_head(message)
            if len(message) >= whole:
                return parse_client_hello(message[_MESSAGE_HEAD:whole])
        self._message = message
        if at or records is not self._records:
            self._records = bytearray(records[at:])
        self._size += at
        if self.size >= LIMIT:
            raise _too_long()
        return None


def read_whole(data: bytes) -> ClientHello | None:
    """Return the ClientHello if one record at the begin of `data` has all of it, as nearly always.

    None: a ClientHelloReader must be asked. Raises InvalidClientHello as that would.
    """
    if len(data) > 9 and data[0] == _HANDSHAKE and data[1] == 3 and data[5] == _CLIENT_HELLO:
        length = data[3] << 8 | data[4]
        whole = 9 + (data[6] << 16 | data[7] << 8 | data[8])
        if whole <= length + 5 <= len(data) and length <= _LARGEST_RECORD:
            return parse_client_hello(data[9:whole])
    return None


def _check_begin(data: bytes | bytearray) -> None:
    """Raise NotTls, or InvalidClientHello for SSL 2.0, unless the first bytes may begin TLS."""
    if data[0] == _HANDSHAKE:
        if len(data) > 1 and data[1] != 3:
            raise NotTls
    elif not data[0] & 0x80 or (len(data) > 2 and data[2] != _CLIENT_HELLO):
        raise NotTls
    elif len(data) > 4:  # SSL 2.0, or its form for TLS: length, type, version
        if data[3] == 3 or (data[3] == 0 and data[4] == 2):
            raise InvalidClientHello("it has the form of SSL 2.0", PROTOCOL_VERSION)
        raise NotTls


def _check_head(message: bytes) -> int:
    """Return how long the message is, with its head, as far as that has come."""
    if message[:1] not in (b"", b"\x01"):
        raise InvalidClientHello(
            f"the handshake begins with a message of type {message[0]}", UNEXPECTED_MESSAGE
        )
    if len(message) < _MESSAGE_HEAD:
        return _MESSAGE_HEAD
    whole = _MESSAGE_HEAD + int.from_bytes(message[1:_MESSAGE_HEAD])
    if whole > LIMIT:
        raise _too_long()
    return whole


def _too_long() -> InvalidClientHello:
    return InvalidClientHello(f"it is longer than {LIMIT} bytes", RECORD_OVERFLOW)


def parse_client_hello(message: bytes) -> ClientHello:
    """Return what a ClientHello says, without records and the head of the message.

    Raises InvalidClientHello.
    """
    try:
        at = _RANDOM_END + 1 + message[_RANDOM_END]
        at += 2 + (message[at] << 8 | message[at + 1])  # cipher suites
        at += 1 + message[at]  # compression methods
        if at == len(message):
            return ClientHello()  # without extensions, as in TLS 1.0
        end = at + 2 + (message[at] << 8 | message[at + 1])
        if end != len(message):
            raise InvalidClientHello("its extensions do not end where it ends")
        at += 2
        name: str | None = None
        protocols: tuple[str, ...] | None = None
        while at < end:
            begin = at + 4
            high, kind = message[at], message[at + 1]
            at = begin + (message[at + 2] << 8 | message[at + 3])
            if high:
                continue
            if kind == _SERVER_NAME:
                if name is not None:
                    raise InvalidClientHello("it has two lists of server names", ILLEGAL_PARAMETER)
                name = _read_server_name(message[begin:at])
            elif kind == _ALPN:
                if protocols is not None:
                    raise InvalidClientHello("it has two lists of protocols", ILLEGAL_PARAMETER)
                protocols = _read_alpn(message[begin:at])
    except IndexError:
        raise InvalidClientHello("it ends within a field") from None
    if at != end:
        raise InvalidClientHello("an extension is longer than the message")
    return ClientHello(name, protocols or ())


def _read_server_name(data: bytes) -> str:
    """Return the only host name in a list of server names."""
    size = len(data)
    if data[0] << 8 | data[1] != size - 2:
        raise InvalidClientHello("its list of server names does not end where it should")
    name = data[5:]
    if data[2] == _HOST_NAME and data[3] << 8 | data[4] == size - 5 and _ascii_name(name):
        return name.decode()  # the usual one
    found: bytes | None = None
    at = 2
    while at < len(data):
        begin = at + 3
        end = begin + (data[at + 1] << 8 | data[at + 2])
        if end > len(data):
            raise InvalidClientHello("a server name is longer than its list")
        if data[at] == _HOST_NAME:
            if found is not None:
                raise InvalidClientHello("it has two server names", ILLEGAL_PARAMETER)
            found = data[begin:end]
        at = end
    if found is None:
        raise InvalidClientHello("its list of server names has no host name")
    text = found.decode(errors="replace")
    if not _name(found) or "\ufffd" in text or not text.isprintable():
        raise InvalidClientHello("its server name is not a name", UNRECOGNIZED_NAME)
    return text


def _read_alpn(data: bytes) -> tuple[str, ...]:
    """Return the names in a list of protocols."""
    size = len(data)
    if data[0] << 8 | data[1] != size - 2:
        raise InvalidClientHello("its list of protocols does not end where it should")
    if size > ALPN_LIMIT:
        raise InvalidClientHello(f"its list of protocols is longer than {ALPN_LIMIT} bytes")
    found = []
    at = 2
    while at < size:
        begin = at + 1
        at = begin + data[at]
        if at == begin or at > size:
            raise InvalidClientHello("a protocol is empty, or longer than its list")
        name = data[begin:at].decode("latin-1")
        if not (name.isascii() and name.isprintable()):
            name = name.encode("unicode_escape").decode("ascii")
        found.append(name)
    if not found:
        raise InvalidClientHello("its list of protocols is empty")
    return tuple(found)


def alert(number: int) -> bytes:
    """Return a record with a fatal alert, as it is before any version has been agreed on."""
    return b"\x15\x03\x03\x00\x02\x02" + bytes((number,))
