"""What the options of `http_subscribers` may be: a path, and a media type.

Tested in tests/relay/test_options.py.
"""

from __future__ import annotations

import re

_TOKEN = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
is_media_type = re.compile(rf"{_TOKEN}/{_TOKEN}(; ?{_TOKEN}={_TOKEN})*").fullmatch
"""Matches a media type (RFC 9110 8.3.1), whose parameters are not quoted."""


def stream_path(path: str) -> str:
    """Return the path of a stream. Raises ValueError if it is none."""
    from vcproxy.http.message.grammar import is_target  # most relays need no HTTP
    from vcproxy.http.message.resource import canonical_path

    good = path.startswith("/") and "?" not in path and is_target(path.encode())
    if not good or canonical_path(path) != path:
        raise ValueError('must be a path as in URLs, such as "/stream", in its shortest form')
    return path
