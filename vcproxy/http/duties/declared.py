"""Duties: the keys of duties, as routes and listeners have them.

Tested in tests/http/duties/test_declared.py.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from vcproxy.http.duties.compression import Compression
from vcproxy.http.duties.order import ORDER
from vcproxy.http.duties.response_fields import ResponseFieldEdits
from vcproxy.http.duties.sticky import Sticky

if TYPE_CHECKING:
    from vcproxy.http.duties.duty import Duty


@dataclass(frozen=True, kw_only=True)
class Duties:
    """What a listener does for all its requests, or a route for its own.

    What a route sets replaces the listener's key of the same name.
    """

    response_fields: ResponseFieldEdits | None = None
    """Fields of every response to clients: set, added, removed."""

    compression: Compression | None = None
    """Bodies are compressed for clients that accept it."""

    sticky: Sticky | None = None
    """A client stays with its server, by a cookie."""

    @cached_property
    def declared(self) -> dict[str, Duty]:
        """The duties that are set, by their keys, in their order."""
        return {key: duty for key in ORDER if (duty := getattr(self, key)) is not None}
