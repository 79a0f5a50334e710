"""bearer: tokens from a file, each with a name (RFC 6750).

Tested in tests/http/duties/test_bearer.py.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from vcproxy.http.credentials.authorization import MalformedCredentials, credentials
from vcproxy.http.credentials.tokens_file import TokensFile
from vcproxy.http.duties.authentication import Authentication, AuthenticationPhases, field_name

if TYPE_CHECKING:
    from vcproxy.http.filters import PhaseResult
    from vcproxy.http.proxy.transaction import Transaction


@dataclass(frozen=True, kw_only=True)
class Bearer(Authentication):
    """Requests need a token. Others are answered by 401."""

    tokens: TokensFile
    """The file of tokens: NAME:TOKEN in each line, or NAME:sha256:HEX with the SHA-256 of the
    token, as `printf %s TOKEN | sha256sum` prints it. It is watched, and read again when it
    changes."""

    def phases(self) -> BearerPhases:
        """See Duty."""
        return BearerPhases(self)


class BearerPhases(AuthenticationPhases):
    """Looks up tokens."""

    options: Bearer
    scheme = "Bearer"

    def request_head(self, tx: Transaction) -> PhaseResult:
        """See Phases. The challenges are those of RFC 6750, 3."""
        self.without_user_field(tx)
        try:
            found = credentials(tx.request.fields, field_name(tx))
        except MalformedCredentials as problem:
            why = str(problem)
            return self.challenge(tx, why, 400, error="invalid_request", error_description=why)
        if found is None or found[0] != "bearer":
            return self.challenge(tx, "a bearer token is needed")
        name = self.options.tokens.value.name(found[1])
        if name is None:
            return self.challenge(tx, "unknown token", error="invalid_token")
        return self.accept(tx, name)
