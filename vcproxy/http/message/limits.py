"""MessageLimits: the largest heads, chunk lines and trailers. Bodies are limited elsewhere.

Tested in tests/http/message/test_requests.py, test_responses.py and test_body.py.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class MessageLimits:
    """Bytes and counts. A larger request is refused with the status given; a response with 502."""

    head: int = 32 << 10
    """Bytes of a whole head (431): as Traffic Server, twice the limit of HAProxy."""

    line: int = 8 << 10
    """Bytes of a request line (414): as nginx; RFC 9112 3 recommends at least 8000."""

    field: int = 16 << 10
    """Bytes of one field line (431): enough for four cookies of 4 KiB."""

    fields: int = 100
    """Field lines (431): as HAProxy and Envoy."""

    chunk_line: int = 256
    """Bytes of the line before a chunk, extensions included (400)."""

    trailers: int = 8 << 10
    """Bytes of the trailer section (400)."""

    trailer_fields: int = 32
    """Field lines of the trailer section (400)."""
