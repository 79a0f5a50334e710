"""Vary: the fields of a request on which a response depends (RFC 9110 12.5.5).

Tested in tests/http/message/test_vary.py.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vcproxy.http.message.fields import Fields


def vary_by(fields: Fields, *names: str) -> None:
    """Add names to Vary, unless they are there already, or it is "*"."""
    value = fields.get("Vary")
    if not value:
        fields["Vary"] = ", ".join(names)
    elif (extended := _extended(value, names)) != value:
        fields["Vary"] = extended


@lru_cache(256)  # servers send few values
def _extended(value: str, names: tuple[str, ...]) -> str:
    known = {each.strip().lower() for each in value.split(",")}
    added = [each for each in names if each.lower() not in known]
    return value if "*" in known else ", ".join([value, *added])
