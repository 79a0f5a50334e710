"""strict_transport_security: browsers use https only from now on (RFC 6797).

Tested in tests/http/duties/test_strict_transport_security.py.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from vcproxy.config.values import Duration
from vcproxy.http.duties.duty import Duty, Scheme
from vcproxy.http.duties.head_edits import HeadEdits

if TYPE_CHECKING:
    from vcproxy.http.message.fields import Fields

YEAR_S = 365 * 86400

NAME = "Strict-Transport-Security"


@dataclass(frozen=True)
class StrictTransportSecurity(Duty):
    """The field Strict-Transport-Security of every response over TLS, in place of a server's.

    Responses without TLS do not get it (RFC 6797, 7.2); a server's is removed from them.
    """

    max_age: Duration = YEAR_S
    """How long browsers keep it, from their last visit on; "0s": they forget it. A year is what the
    preload lists want: begin with a day."""

    include_subdomains: bool = False
    """Whether it is for all names below the host as well."""

    preload: bool = False
    """Whether the host may be built into browsers (hstspreload.org). It is hard to undo."""

    def __post_init__(self) -> None:
        if self.preload and not (self.include_subdomains and self.max_age >= YEAR_S):
            raise ValueError(
                'preload needs include_subdomains = true and max_age = "365d" at least'
            )

    def head_edits(self, scheme: Scheme) -> HeadEdits:
        """See Duty."""
        value = f"max-age={int(self.max_age)}"
        value += "; includeSubDomains" if self.include_subdomains else ""
        value += "; preload" if self.preload else ""

        def edit(fields: Fields) -> None:
            fields.discard(NAME)
            if scheme == "https":
                fields.add(NAME, value)

        return HeadEdits(response_fields=edit)
