"""Normalization: field lines with unusual white space are read by h11 and written canonically.

Tested in tests/http/message/test_requests.py and test_against_h11.py.
"""

from vcproxy.http.message.bad_message import BadMessage
from vcproxy.http.message.fields import Fields


def normalized(fields: Fields, status: int) -> Fields:
    """Return the same fields in canonical lines.

    Raises BadMessage with `status` for fields that our grammar accepts but h11 refuses.
    """
    import h11  # takes 5 ms, and few messages need it

    reader = h11.Connection(h11.CLIENT, max_incomplete_event_size=1)  # the input is complete
    reader.send(h11.Request(method="GET", target="/", headers=[("Host", "any")]))
    reader.receive_data(b"HTTP/1.1 200 \r\n%b\r\n" % fields.raw)
    try:
        head = reader.next_event()
    except h11.RemoteProtocolError as problem:
        raise BadMessage(status, f"invalid fields: {problem}", "RFC 9112 5") from None
    if not isinstance(head, h11.Response):
        raise BadMessage(status, "fields without an empty line at their end", "RFC 9112 5")
    lines = [
        b"%b: %b\r\n" % (name, value) if value else b"%b:\r\n" % name
        for name, value in head.headers.raw_items()
    ]
    return Fields(b"".join(lines))
