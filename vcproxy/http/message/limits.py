"""How large a message may be. The size of its body is for whoever forwards it to limit."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class MessageLimits:
    """Bytes and counts; what is over one of them is refused with the status named beside it."""

    head: int = 32 << 10
    """Bytes of a whole head, else 431: what Traffic Server takes, twice what HAProxy does."""

    line: int = 8 << 10
    """Bytes of a request line, else 414: as nginx; RFC 9112 3 asks for 8000 at least."""

    field: int = 16 << 10
    """Bytes of one field line, else 431: a cookie jar of 4 KiB cookies has room."""

    fields: int = 100
    """Field lines, else 431: as HAProxy and Envoy."""

    chunk_line: int = 256
    """Bytes of the line before a chunk, extensions included, else 400."""

    trailers: int = 8 << 10
    """Bytes of the trailer section, else 400."""

    trailer_fields: int = 32
    """Field lines of the trailer section, else 400."""
