"""How a connection changes to TLS in protocols that begin in plain text: the dialogue before it.

Nothing here does I/O. A dialogue is a generator: it yields what to send next, with the form of the
whole answer, and gets the answer back.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Generator
from typing import NamedTuple


class Turn(NamedTuple):
    """What to send, and the form that the whole answer has."""

    sends: bytes
    answer: re.Pattern[bytes]


class TlsRefused(Exception):
    """The server does not change to TLS; the text has its answer."""


Dialogue = Generator[Turn, bytes, None]

ANSWER_LIMIT = 1 << 16
"""The most bytes of an answer: an SMTP server lists its extensions in about 500."""

_SMTP = re.compile(rb"(?:\d{3}-[^\r\n]*\r?\n)*\d{3}(?: [^\r\n]*)?\r?\n")
_IMAP_GREETING = re.compile(rb"\* [^\r\n]*\r?\n")
_IMAP = re.compile(rb"(?:\* [^\r\n]*\r?\n)*a1 [^\r\n]*\r?\n")
_POSTGRESQL = re.compile(rb"[SN]|E[^\0]*\0", re.DOTALL)

_SSL_REQUEST = (8).to_bytes(4, "big") + (80877103).to_bytes(4, "big")
"""SSLRequest of PostgreSQL: its length, and the code that stands for it (PostgreSQL 55.7)."""


def smtp(own_name: str) -> Dialogue:
    """Change to TLS in SMTP (RFC 3207). `own_name`: of this host, for EHLO. Raises TlsRefused."""
    for sends, wanted in ((b"", b"220"), (b"EHLO %s\r\n" % own_name.encode(), b"250")):
        _expect(wanted, (yield Turn(sends, _SMTP)))
    _expect(b"220", (yield Turn(b"STARTTLS\r\n", _SMTP)))


def imap(own_name: str) -> Dialogue:
    """Change to TLS in IMAP (RFC 9051, 6.2.1). `own_name` is not used. Raises TlsRefused."""
    _expect(b"* OK", (yield Turn(b"", _IMAP_GREETING)))  # PREAUTH: too late for STARTTLS
    answer = yield Turn(b"a1 STARTTLS\r\n", _IMAP)
    _expect(b"a1 OK", answer[answer.rindex(b"a1 ") :])


def postgresql(own_name: str) -> Dialogue:
    """Change to TLS in the protocol of PostgreSQL. `own_name` is not used. Raises TlsRefused."""
    _expect(b"S", (yield Turn(_SSL_REQUEST, _POSTGRESQL)))


DIALOGUES: dict[str, Callable[[str], Dialogue]] = {
    "smtp": smtp,
    "imap": imap,
    "postgres": postgresql,
}
"""The dialogues by their names, which are those of `openssl s_client -starttls`."""

BY_PORT = {25: "smtp", 587: "smtp", 143: "imap", 5432: "postgres"}
"""The dialogue that a port needs unless another is chosen (IANA's registry of ports)."""


def _expect(wanted: bytes, answer: bytes) -> None:
    if not answer.startswith(wanted):
        shown = answer.decode(errors="backslashreplace").strip() or "nothing"
        raise TlsRefused(f'the server answered "{shown}", not "{wanted.decode()}"')
