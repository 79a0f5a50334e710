"""ClientHello messages for tests: built from parts, or made by the interpreter's own TLS."""

from __future__ import annotations

import ssl
from collections.abc import Iterable, Sequence

GREASE = 0x0A0A


def hello_of(name: str | None, alpn: Sequence[str] = (), *, longest: str = "") -> bytes:
    """Return the first record of a real client. `longest`: "1.2" for the last version it offers."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    if longest == "1.2":
        context.maximum_version = ssl.TLSVersion.TLSv1_2
    if alpn:
        context.set_alpn_protocols(list(alpn))
    sent = ssl.MemoryBIO()
    client = context.wrap_bio(ssl.MemoryBIO(), sent, server_hostname=name)
    try:
        client.do_handshake()
    except ssl.SSLWantReadError:
        pass
    return sent.read()


def sized(data: bytes, width: int) -> bytes:
    """Return data after its length in `width` bytes."""
    return len(data).to_bytes(width, "big") + data


def extension(kind: int, data: bytes) -> bytes:
    """Return an extension."""
    return kind.to_bytes(2, "big") + sized(data, 2)


def server_names(*names: bytes, kind: int = 0) -> bytes:
    """Return the extension with these server names."""
    return extension(0, sized(b"".join(bytes((kind,)) + sized(each, 2) for each in names), 2))


def protocols(*names: bytes) -> bytes:
    """Return the extension with these application protocols."""
    return extension(16, sized(b"".join(sized(each, 1) for each in names), 2))


def message(
    *extensions: bytes,
    session: bytes = bytes(32),
    ciphers: bytes = b"\x0a\x0a\x13\x01\x13\x02",
    version: bytes = b"\x03\x03",
) -> bytes:
    """Return a ClientHello with the head of the message, without records."""
    body = version + bytes(range(32)) + sized(session, 1) + sized(ciphers, 2) + b"\x01\0"
    if extensions:
        body += sized(b"".join(extensions), 2)
    return b"\x01" + sized(body, 3)


def records(message: bytes, sizes: Iterable[int] = (), version: bytes = b"\x03\x01") -> bytes:
    """Return a message in records of these sizes, and the rest in as few as possible."""
    found, at = b"", 0
    for size in sizes:
        piece = message[at : at + size]
        if piece:
            found += b"\x16" + version + sized(piece, 2)
        at += size
    while at < len(message):
        found += b"\x16" + version + sized(message[at : at + 16384], 2)
        at += 16384
    return found
