"""HeadEdits: what a duty does to heads, as a value, where that depends on nothing but the heads.

Requests that only have such duties take the direct path, which applies these functions once for
equal heads. On the ordinary path HeadEditPhases applies the same functions to each. Tested in
tests/http/duties and tests/http/direct/test_duties.py.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from vcproxy.http.message.fields import Fields
    from vcproxy.http.message.messages import Request, Response

EditFields: TypeAlias = "Callable[[Fields], None]"
"""Changes fields in place. It does not depend on anything but the fields."""


@dataclass(frozen=True)
class HeadEdits:
    """What one duty does to the heads of requests that arrive by the same scheme."""

    answer: Callable[[Request], Response | None] | None = None
    """Returns the response in place of a server's; None: the request goes on."""

    target: Callable[[str], str] | None = None
    """Returns the target to forward, in origin form."""

    request_fields: EditFields | None = None
    """Changes the fields of a request. Names have no "_": see spoofed_fields."""

    response_fields: EditFields | None = None
    """Changes the fields of every response."""
