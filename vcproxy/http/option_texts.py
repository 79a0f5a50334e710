"""The types of texts in the options of an HTTP proxy: tokens, methods and values of fields.

Tested in tests/http/proxy/test_options.py and test_routing.py.
"""

from __future__ import annotations

import re
from typing import Annotated, Final

from pydantic import AfterValidator

from vcproxy.http.message.grammar import is_target, is_text, is_token
from vcproxy.http.message.resource import canonical_path

WRITTEN: Final = frozenset(
    {
        "connection", "content-length", "expect", "forwarded", "keep-alive", "max-forwards",
        "proxy-authorization", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade",
        "via",
    }
)  # fmt: skip
"""Fields of requests that the proxy itself writes, in lower case."""


def _token(text: str) -> str:
    if not is_token(latin(text)):
        raise ValueError(f'"{text}" is not a token: use letters, digits and marks such as "-"')
    return text


def _method(text: str) -> str:
    if (upper := _token(text).upper()) != text:
        raise ValueError(f'"{text}" is not in upper case, as methods are: write "{upper}"')
    return text


def _value(text: str) -> str:
    if not is_text(latin(text)) or text != text.strip(" \t"):
        raise ValueError(
            f"{text!r} is not a field value: it has control characters or outer spaces"
        )
    return text


def _prefix(text: str) -> str:
    if not text.startswith("/") or "?" in text or not is_target(latin(text)):
        raise ValueError(
            f'"{text}" is not a path: it must be ASCII, begin with "/" and have no "?"'
        )
    if (plain := canonical_path(text)) != text:
        raise ValueError(
            f'"{text}" never matches, as paths are compared in canonical form: write "{plain}"'
        )
    return text


def _own_field(text: str) -> str:
    lower = text.lower()
    if lower in (*WRITTEN, "host") or lower.startswith("x-forwarded-"):
        raise ValueError(f'"{text}" is a field of HTTP itself: choose another name, as "X-Name"')
    if "_" in text:
        twin = text.replace("_", "-")
        raise ValueError(f'"{text}": servers may take it for "{twin}": write that')
    return text


def latin(text: str) -> bytes:
    """Encode a text. A character outside latin-1 becomes NUL, which never matches a request."""
    return re.sub("[^\0-\xff]", "\0", text).encode("latin-1")


Token = Annotated[str, AfterValidator(_token)]
OwnField = Annotated[Token, AfterValidator(_own_field)]
"""The name of a field of the operator's choice, which the proxy reads or sends to servers."""
Method = Annotated[str, AfterValidator(_method)]
Value = Annotated[str, AfterValidator(_value)]
PathPrefix = Annotated[str, AfterValidator(_prefix)]
