"""The field Authorization of a request (RFC 9110 11.6.2): Basic (RFC 7617), Bearer (RFC 6750).

Tested in tests/http/credentials/test_authorization.py.
"""

from __future__ import annotations

import re
from base64 import b64decode
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from vcproxy.http.message.fields import Fields

_CREDENTIALS = re.compile(r"([!#$%&'*+.^_`|~0-9A-Za-z-]+) +([A-Za-z0-9._~+/-]+=*)").fullmatch
"""A scheme and a token68, which is what both schemes send."""


class MalformedCredentials(Exception):
    """The field does not have the form that its scheme requires; the message is why."""


class Basic(NamedTuple):
    """A user's name and password."""

    user: str
    password: bytes


def credentials(fields: Fields, name: str) -> tuple[str, str] | None:
    """Return the scheme, in lower case, and what follows it; None: there is no such field.

    `name`: Authorization, or Proxy-Authorization in requests to a forward proxy. Raises
    MalformedCredentials, also for two such fields: servers differ in which one they use.
    """
    lines = fields.get_all(name)
    if not lines:
        return None
    if len(lines) > 1:
        raise MalformedCredentials(f"there are several {name} fields")
    scheme = lines[0].partition(" ")[0].lower()
    if scheme not in ("basic", "bearer"):
        return scheme, ""
    match = _CREDENTIALS(lines[0])
    if match is None:
        raise MalformedCredentials(f"{name} is not of the form of {scheme}")
    return scheme, match[2]


def basic(encoded: str) -> Basic:
    """Return the user and the password that follow the scheme Basic.

    Both are UTF-8, as the challenge asks; the password is not decoded. Raises MalformedCredentials.
    """
    try:
        name, colon, password = b64decode(encoded, validate=True).partition(b":")
        user = name.decode()
    except ValueError:
        raise MalformedCredentials("the user and the password are not base64 of UTF-8") from None
    if not colon or not user:
        raise MalformedCredentials("the credentials are not of the form USER:PASSWORD")
    if not user.isprintable():
        raise MalformedCredentials("the user's name has control characters")
    return Basic(user, password)
