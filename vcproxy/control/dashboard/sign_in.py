"""SignIn: which browsers may see the dashboard: one-time tokens, and the cookies that they become.

A token is valid once and for TOKEN_S, because addresses end up in histories and logs. It becomes a
cookie that no script can read and no other site can send. Nothing is written to disk: after a
restart of the proxy, pages sign in again. Tested in tests/control/dashboard/test_sign_in.py.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

TOKEN_S: Final = 300.0
"""How long an address with a token can be opened: the time to copy it to another computer."""

SESSION_S: Final = 12 * 3600.0
"""How long a browser stays signed in after its last request: a working day."""

MOST: Final = 32
"""The most tokens, and the most cookies: the oldest is dropped for a new one."""


class SignIn:
    """The tokens and cookies of one proxy."""

    def __init__(self, make_secret: Callable[[], str], now: Callable[[], float]) -> None:
        """`make_secret` returns a text that cannot be guessed; `now` the time in seconds."""
        self._make_secret = make_secret
        self._now = now
        self._tokens: dict[str, float] = {}  # with the time of their end, the oldest first
        self._cookies: dict[str, float] = {}

    def token(self) -> str:
        """Make a token."""
        return self._add(self._tokens, TOKEN_S)

    def exchange(self, token: str) -> str:
        """Return the cookie for a token, which is used up; "": it is not valid."""
        if self._tokens.pop(token, 0.0) <= self._now():
            return ""
        return self._add(self._cookies, SESSION_S)

    def knows(self, cookie: str) -> bool:
        """Whether a cookie is valid. It is for SESSION_S from now on, then."""
        if self._cookies.get(cookie, 0.0) <= self._now():
            self._cookies.pop(cookie, None)
            return False
        del self._cookies[cookie]
        self._cookies[cookie] = self._now() + SESSION_S
        return True

    def _add(self, secrets: dict[str, float], seconds: float) -> str:
        while len(secrets) >= MOST:
            del secrets[next(iter(secrets))]
        secret = self._make_secret()
        secrets[secret] = self._now() + seconds
        return secret
