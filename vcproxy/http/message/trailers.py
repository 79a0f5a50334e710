"""Trailers: the fields after a chunked body, checked like those of a head (RFC 9110 6.5).

Tested in tests/http/message/test_body.py and test_spoofed_fields.py.
"""

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
"""Fields that would change framing, routing, authentication or the meaning of a body that was sent
already (RFC 9110 6.5.1). They are removed, as a receiver may merge trailers into the head. So are
the fields of `spoofed_trailers`."""


def read_trailers(section: bytes, limits: MessageLimits, status: int) -> Fields:
    """Return the fields of a trailer section, without the forbidden ones.

    Raises BadMessage with `status` if the section violates the grammar or exceeds a limit.
    """
    if not section:
        return Fields()
    if len(section) > limits.trailers:
        raise too_long("trailer section", limits.trailers, status)
    if section.count(b"\r\n") > limits.trailer_fields:
        raise BadMessage(status, f"more than {limits.trailer_fields} trailers", "RFC 9110 6.5")
    if not FIELDS(section):
        raise fields_error(section, status)
    fields = Fields(section)
    fields = Fields(fields.without(spoofed_trailers(fields, FORBIDDEN))[2:])
    return fields if CANONICAL_FIELDS(fields.raw) else normalized(fields, status)
