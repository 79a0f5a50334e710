"""Authentication: what `basic_auth` and `bearer` have in common.

A request to a forward proxy has its credentials in Proxy-Authorization, and is refused by 407 (RFC
9110 11.7); all others have Authorization and 401. Tested in tests/http/duties/test_basic_auth.py
and test_bearer.py.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from vcproxy.http.duties.duty import Duty, DutyPhases
from vcproxy.http.duties.refusal import refusal
from vcproxy.http.option_texts import OwnField, Value

if TYPE_CHECKING:
    from vcproxy.http.filters import PhaseResult
    from vcproxy.http.message.messages import Response
    from vcproxy.http.proxy.transaction import Transaction


@dataclass(frozen=True, kw_only=True)
class Authentication(Duty):
    """The keys that both duties have."""

    realm: Value = "restricted"
    """What the credentials are for: browsers show it, and send them to all of the same realm."""

    user_field: OwnField | None = None
    """A field in which servers get the name of the user, as "X-User". That of a client is removed.
    Left out: they do not get it."""

    forward: bool = False
    """Whether servers get the credentials too, in Authorization."""


class AuthenticationPhases(DutyPhases):
    """Refuses requests without right credentials."""

    options: Authentication
    scheme: ClassVar[str]
    """The scheme of the credentials, as challenges write it."""

    def accept(self, tx: Transaction, user: str) -> PhaseResult:
        """Let a request pass as that of a user."""
        fields, rules = tx.request.fields, self.options
        tx.user = tx.access_fields["user"] = user
        # That of a request to a forward proxy is for the server; the other is never forwarded.
        if not (rules.forward or to_proxy(tx)) and "Authorization" in fields:
            del fields["Authorization"]
        if rules.user_field is not None:
            # A name may have any letters: servers get its bytes in UTF-8.
            fields.add(rules.user_field, user.encode().decode("latin-1"))
        return None

    def challenge(
        self, tx: Transaction, why: str, status: int = 401, **parameters: str
    ) -> Response:
        """Return the response to a request without right credentials, which asks for them.

        `parameters`: what the challenge has beside the realm.
        """
        texts = {"realm": self.options.realm, **parameters}
        text = ", ".join(f"{name}={quoted(value)}" for name, value in texts.items())
        if to_proxy(tx):
            name, status = "Proxy-Authenticate", 407
        else:
            name = "WWW-Authenticate"
        return refusal(status, why, {name: f"{self.scheme} {text}", "Cache-Control": "no-store"})

    def without_user_field(self, tx: Transaction) -> None:
        """Remove the field with the user's name that a client has sent."""
        if self.options.user_field is not None:
            tx.request.fields.discard(self.options.user_field)


def quoted(text: str) -> str:
    """Return a quoted string (RFC 9110 5.6.4)."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def to_proxy(tx: Transaction) -> bool:
    """Whether a client sends a request to its forward proxy: by CONNECT or a whole URI."""
    return tx.request.form in ("authority", "absolute")


def field_name(tx: Transaction) -> str:
    """Return the name of the field that has the credentials of a request."""
    return "Proxy-Authorization" if to_proxy(tx) else "Authorization"
