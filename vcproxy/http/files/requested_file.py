"""The path of a file below a folder, for the path of a request.

The path of a request is canonical (see `resource.canonical_path`): its dot segments are resolved,
"%2e" and "%2F" included, and it cannot climb above "/". What remains escaped is unescaped here,
once: "%252e%252e" is the name "%2e%2e". Tested in tests/http/files/test_requested_file.py.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from vcproxy.http.message.resource import under

_unescape = re.compile(rb"%([0-9A-Fa-f]{2})").sub
_NEVER = re.compile(r"[\0-\x1f\x7f/\\]")
"""Characters that no name may have: control characters; a slash, which ends a name; and the
backslash, which ends one on other systems, and in what browsers make of a redirect."""


class RequestedFile(NamedTuple):
    """What a request asks for, below a folder."""

    path: str
    """Names separated by "/"; empty: the folder itself."""
    directory: bool
    """Whether the path of the request ends with a slash: a directory is meant."""


def requested_file(path: str, prefix: str, *, dot_files: bool) -> RequestedFile | None:
    """Return what the canonical path of a request means below a folder that is served at `prefix`.

    None: no file can have such a name, or its name or that of a directory begins with a dot. A path
    that is not below the prefix, as one that was rewritten, counts from "/". `dot_files`: whether
    such names are allowed. ".well-known" (RFC 8615) always is.
    """
    rest = path[len(prefix) :] if under(path, prefix) else path
    segments = [each for each in rest.split("/") if each]
    names = list(map(_name, segments))
    for name in names:
        if not name or (name[0] == "." and not dot_files and name != ".well-known"):
            return None
        if name in (".", ".."):
            return None
    return RequestedFile("/".join(names), path.endswith("/"))


def _name(segment: str) -> str:
    """Return the name that a segment means; "": none."""
    if "%" not in segment:
        return "" if _NEVER.search(segment) else segment
    octets = _unescape(lambda found: bytes((int(found[1], 16),)), segment.encode("latin-1"))
    try:
        name = octets.decode()
    except UnicodeDecodeError:  # also of a longer form, as %c0%ae for a dot
        return ""
    return "" if _NEVER.search(name) else name
