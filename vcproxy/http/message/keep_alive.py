"""Keep-Alive: how long a server keeps an idle connection open (RFC 2068, 19.7.1.1).

No current RFC defines the field; Apache httpd, Node.js, Gunicorn and others send it.
"""

from __future__ import annotations

import re

from vcproxy.http.message.fields import Fields

_timeout = re.compile(rb"(?:^|[,; \t])timeout[ \t]*+=[ \t]*+\"?+([0-9]{1,9})(?![0-9])").search


def keep_alive_s(fields: Fields) -> float | None:
    """Return the seconds of `Keep-Alive: timeout=5`; None: the fields have no such value."""
    value = fields.control.get(b"keep-alive")
    found = None if value is None else _timeout(value)
    return None if found is None else float(found[1])
