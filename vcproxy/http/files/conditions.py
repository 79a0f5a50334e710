"""Conditional requests: whether a file is sent, in which state the client has it already.

RFC 9110, 13. Tested in tests/http/files/test_conditions.py.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Literal, NamedTuple

from vcproxy.http.message.dates import read_http_date

if TYPE_CHECKING:
    from vcproxy.http.message.fields import Fields

_TAGS = re.compile(r'(W/)?("[\x21\x23-\x7e\x80-\xff]*")')


class Validators(NamedTuple):
    """What distinguishes the states of a file."""

    etag: str
    """A strong entity tag, with its quotes (RFC 9110, 8.8.3)."""
    modified: int
    """When it was changed last: seconds since 1970."""


def precondition(fields: Fields, validators: Validators) -> Literal[200, 304, 412]:
    """Return the status for a GET or HEAD of an existing file (RFC 9110, 13.2.2).

    304: the client has this state; 412: the state is not the one that the client requires; 200:
    send it. A date that is invalid is ignored.
    """
    match = fields.get("If-Match")
    if match is not None:
        if not _matches(match, validators.etag, strong=True):
            return 412
    else:
        unmodified = _date(fields, "If-Unmodified-Since")
        if unmodified is not None and validators.modified > unmodified:
            return 412
    none = fields.get("If-None-Match")
    if none is not None:
        return 304 if _matches(none, validators.etag, strong=False) else 200
    since = _date(fields, "If-Modified-Since")
    return 304 if since is not None and validators.modified <= since else 200


def range_applies(fields: Fields, validators: Validators) -> bool:
    """Whether Range is to be used: If-Range names this state, or there is none (RFC 9110, 13.1.5).

    A date must be that of the file exactly.
    """
    value = fields.get("If-Range")
    if value is None:
        return True
    if value.startswith(('"', "W/")):
        return value == validators.etag
    return read_http_date(value) == validators.modified


def _matches(value: str, etag: str, *, strong: bool) -> bool:
    if value.strip() == "*":
        return True
    return any(tag == etag and not (weak and strong) for weak, tag in _TAGS.findall(value))


def _date(fields: Fields, name: str) -> int | None:
    value = fields.get(name)
    return None if value is None else read_http_date(value)
