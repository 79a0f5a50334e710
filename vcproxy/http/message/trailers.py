"""Trailers: fields behind a chunked body, as strict as those before it (RFC 9110 6.5)."""

from vcproxy.http.message.bad_message import BadMessage
from vcproxy.http.message.fields import Fields
from vcproxy.http.message.grammar import CANONICAL_FIELDS, FIELDS
from vcproxy.http.message.limits import MessageLimits
from vcproxy.http.message.normalization import normalized
from vcproxy.http.message.spoofed_fields import spoofed_trailers
from vcproxy.http.message.syntax_errors import fields_error, too_long

FORBIDDEN = frozenset(
    b"transfer-encoding content-length trailer te host connection keep-alive upgrade"
    b" proxy-connection via forwarded"
    b" content-encoding content-type content-range expect max-forwards"
    b" authorization cookie set-cookie www-authenticate proxy-authenticate proxy-authorization"
    b" proxy-authentication-info".split()
)
"""What would change framing, routing, authentication or the meaning of the body after the fact
(RFC 9110 6.5.1): whoever merges trailers into the head must not be led astray by us. What only
proxies may send goes with it: see `spoofed_trailers`."""


def read_trailers(section: bytes, limits: MessageLimits, status: int) -> Fields:
    """Read the lines of a trailer section, without those that may not stand there.

    Raises BadMessage with `status` for what the grammar or the limits refuse.
    """
    if not section:
        return Fields()
    if len(section) > limits.trailers:
        raise too_long("a trailer section", limits.trailers, status)
    if section.count(b"\r\n") > limits.trailer_fields:
        raise BadMessage(status, f"more than {limits.trailer_fields} trailers", "RFC 9110 6.5")
    if not FIELDS(section):
        raise fields_error(section, status)
    fields = Fields(section)
    fields = Fields(fields.without(spoofed_trailers(fields, FORBIDDEN))[2:])
    return fields if CANONICAL_FIELDS(fields.raw) else normalized(fields, status)
