"""ORDER: the order of duties. It is fixed, and does not depend on the file.

A request passes them from the first to the last, a response from the last to the first. Filters of
authors stand behind them: they get a request after the duties, and a response before them.

Tested in tests/http/duties/test_declared.py.
"""

from __future__ import annotations

from typing import Final

ORDER: Final = (
    "response_fields",  # has the last word on every response
    "strict_transport_security",
    "request_id",  # so that every refusal has it
    "maintenance",  # ends the request at once, so before any work
    "rate",  # limits guesses of passwords too
    "redirect",  # to https, before a password is asked for
    "cors",  # a preflight has no credentials (Fetch, 3.2)
    "basic_auth",
    "bearer",
    "compression",  # of every body, of error pages too; reads what request_fields may remove
    "request_fields",
    "rewrite",
    "error_pages",
    "sticky",
    "folder",  # in place of a server
)
"""Their keys."""

LATE: Final = frozenset({"request_fields", "rewrite"})
"""Those that change what routes depend on: they get a request when its route has been found."""
