"""The grammar of HTTP/1.1 heads as regular expressions, each linear in what it reads.

Every repetition is possessive: nothing is tried twice, so no input costs more than its length.
"""

import re
from ipaddress import AddressValueError, IPv6Address

TOKEN = rb"[!#$%&'*+.^_`|~0-9A-Za-z-]"
"""RFC 9110 5.6.2."""

TEXT = rb"[\t -~\x80-\xff]"
"""What a value is made of: field-vchar, SP and HTAB (RFC 9110 5.5)."""

QUOTED = rb'"(?:[\t !#-\[\]-~\x80-\xff]|\\' + TEXT + rb')*+"'
"""A quoted string (RFC 9110 5.6.4)."""

TARGET = rb"[!\"$-~]"
"""What a request target is made of: visible ASCII. No "#": a fragment stays with the client, and
routing rules disagree about what is behind it."""

LINE = TOKEN + rb"++:" + TEXT + rb"*+\r\n"
"""A field line with any white space around its value."""

CANONICAL_LINE = TOKEN + rb"++:(?: [!-~\x80-\xff]" + TEXT + rb"*+(?<![\t ]))?+\r\n"
"""A field line as nearly everybody writes it: one space before the value and none behind it."""

_REQUEST_LINE = rb"(" + TOKEN + rb"++) (" + TARGET + rb"++) HTTP/1\.([0-9])\r\n"
_STATUS_LINE = rb"HTTP/1\.([0-9]) ([1-9][0-9]{2})(?: (" + TEXT + rb"*+))?+\r\n"


def _fields(line: bytes) -> bytes:
    return rb"(?:" + line + rb")*+"


REQUEST = re.compile(_REQUEST_LINE + _fields(LINE) + rb"\r\n").fullmatch
CANONICAL_REQUEST = re.compile(_REQUEST_LINE + _fields(CANONICAL_LINE) + rb"\r\n").fullmatch
"""Match method, target and minor version in a whole head."""

RESPONSE = re.compile(_STATUS_LINE + _fields(LINE) + rb"\r\n").fullmatch
CANONICAL_RESPONSE = re.compile(_STATUS_LINE + _fields(CANONICAL_LINE) + rb"\r\n").fullmatch
"""Match minor version, status and reason in a whole head."""

FIELDS = re.compile(_fields(LINE)).fullmatch
CANONICAL_FIELDS = re.compile(_fields(CANONICAL_LINE)).fullmatch
"""Match field lines without the empty one behind them."""

is_token = re.compile(TOKEN + rb"++").fullmatch
is_text = re.compile(TEXT + rb"*+").fullmatch
is_target = re.compile(TARGET + rb"++").fullmatch

CONTROL_CHARACTER = re.compile(rb"[^\t\r\n -~\x80-\xff]|\r(?=[^\n])|(?<!\r)\n").search
"""Find what no head may hold: a control character, a bare CR or a bare LF (RFC 9112 2.2)."""

_REG_NAME = rb"(?:[0-9A-Za-z._~!$&'()*+,;=-]++|%[0-9A-Fa-f]{2})++"
_AUTHORITY = re.compile(
    rb"(" + _REG_NAME + rb"|\[([0-9A-Fa-f:.]++)\])(?::([0-9]{0,5}+))?+"
).fullmatch


def authority(text: bytes) -> tuple[bytes, bytes] | None:
    """Split host and port, empty where there is none; None where it is no such thing.

    RFC 3986 3.2, without what has no place in HTTP or only misleads: user information (RFC 9110
    4.2.4), future kinds of addresses and zones.
    """
    match = _AUTHORITY(text)
    if match is None:
        return None
    host, address, port = match.groups()
    if port and not 0 < int(port) < 1 << 16:
        return None
    if address is not None:
        try:
            IPv6Address(address.decode())
        except AddressValueError:
            return None
    return host, port or b""
