"""Vary: the fields of a request on which a response depends (RFC 9110 12.5.5).

Tested in tests/http/message/test_vary.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vcproxy.http.message.fields import Fields


def vary_by(fields: Fields, *names: str) -> None:
    """Add names to Vary, unless they are there already, or it is "*"."""
    value = fields.get("Vary", "")
    known = {each.strip().lower() for each in value.split(",")}
    added = [each for each in names if each.lower() not in known]
    if added and "*" not in known:
        fields["Vary"] = ", ".join(([value] if value else []) + added)
