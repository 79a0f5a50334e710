"""The grammar of HTTP/1.1 heads as regular expressions that take linear time.

Every repetition is possessive: there is no backtracking, so no input costs more than its length.
Tested in tests/http/message/test_requests.py, test_responses.py and test_complexity.py.
"""

import re
from ipaddress import AddressValueError, IPv6Address

TOKEN = rb"[!#$%&'*+.^_`|~0-9A-Za-z-]"
"""A byte of a token (RFC 9110 5.6.2)."""

TEXT = rb"[\t -~\x80-\xff]"
"""A byte of a field value: field-vchar, SP or HTAB (RFC 9110 5.5)."""

QUOTED = rb'"(?:[\t !#-\[\]-~\x80-\xff]|\\' + TEXT + rb')*+"'
"""A quoted string (RFC 9110 5.6.4)."""

TARGET = rb"[!\"$-~]"
"""A byte of a request target: visible ASCII without "#", as clients do not send fragments, and
implementations disagree about what follows."""

LINE = TOKEN + rb"++:" + TEXT + rb"*+\r\n"
"""A field line with any white space around its value."""

CANONICAL_LINE = TOKEN + rb"++:(?: [!-~\x80-\xff]" + TEXT + rb"*+(?<![\t ]))?+\r\n"
"""A field line in canonical form: one space before the value and no white space after it."""

_REQUEST_LINE = rb"(" + TOKEN + rb"++) (" + TARGET + rb"++) HTTP/1\.([0-9])\r\n"
_STATUS_LINE = rb"HTTP/1\.([0-9]) ([1-9][0-9]{2})(?: (" + TEXT + rb"*+))?+\r\n"


def _fields(line: bytes) -> bytes:
    return rb"(?:" + line + rb")*+"


REQUEST = re.compile(_REQUEST_LINE + _fields(LINE) + rb"\r\n").fullmatch
CANONICAL_REQUEST = re.compile(_REQUEST_LINE + _fields(CANONICAL_LINE) + rb"\r\n").fullmatch
"""Matches a whole head; the groups are method, target and minor version."""

RESPONSE = re.compile(_STATUS_LINE + _fields(LINE) + rb"\r\n").fullmatch
CANONICAL_RESPONSE = re.compile(_STATUS_LINE + _fields(CANONICAL_LINE) + rb"\r\n").fullmatch
"""Matches a whole head; the groups are minor version, status and reason."""

FIELDS = re.compile(_fields(LINE)).fullmatch
CANONICAL_FIELDS = re.compile(_fields(CANONICAL_LINE)).fullmatch
"""Match field lines without the empty line after them."""

is_token = re.compile(TOKEN + rb"++").fullmatch
is_text = re.compile(TEXT + rb"*+").fullmatch
is_target = re.compile(TARGET + rb"++").fullmatch

CONTROL_CHARACTER = re.compile(rb"[^\t\r\n -~\x80-\xff]|\r(?=[^\n])|(?<!\r)\n").search
"""Find a control character, a bare CR or a bare LF, which no head may have (RFC 9112 2.2)."""

_REG_NAME = rb"(?:[0-9A-Za-z._~!$&'()*+,;=-]++|%[0-9A-Fa-f]{2})++"
_AUTHORITY = re.compile(
    rb"(" + _REG_NAME + rb"|\[([0-9A-Fa-f:.]++)\])(?::([0-9]{0,5}+))?+"
).fullmatch


def authority(text: bytes) -> tuple[bytes, bytes] | None:
    """Return host and port, which is empty if there is none; None for an invalid authority.

    The grammar is that of RFC 3986 3.2, without parts that HTTP forbids or that mislead: user
    information (RFC 9110 4.2.4), IPvFuture addresses, and zones.
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
