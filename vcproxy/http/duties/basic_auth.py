"""basic_auth: users with passwords, from a file as `htpasswd` writes it (RFC 7617).

A password is verified on another thread: that takes milliseconds by intention. Right ones are
remembered for some time as a digest under a random key. Wrong ones are answered late, and only some
of each client are verified. Tested in tests/http/duties/test_basic_auth.py.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, partial
from hashlib import blake2b
from typing import TYPE_CHECKING, Annotated, Final

from pydantic import Field

from vcproxy.admission.rate import Rate, RateLimit
from vcproxy.config.values import Duration
from vcproxy.engine.kept_results import KeptResults
from vcproxy.http.credentials.authorization import MalformedCredentials, basic, credentials
from vcproxy.http.credentials.password_hash import Attempt, verify
from vcproxy.http.credentials.users_file import UsersFile
from vcproxy.http.duties.authentication import Authentication, AuthenticationPhases, field_name
from vcproxy.http.duties.refusal import refusal
from vcproxy.http.filters import Wait
from vcproxy.messages.verdict import Defer

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterator

    from vcproxy.http.filters import PhaseResult
    from vcproxy.http.message.messages import Response
    from vcproxy.http.proxy.transaction import Transaction

PER_S: Final = 60.0
"""The time for `failures`."""

WITHOUT_ADDRESS: Final = "without address"
"""Stands for all clients that have no address: their guesses are limited too."""

MOST_CHECKS: Final = 32
"""Passwords that are verified, or wait for that, at the same time on a net thread. With bcrypt of
cost 12, a quarter of a second each, the last one of these takes a second on eight threads."""

DEADLINE_S: Final = 30.0
"""Seconds for a verification, with those before it."""


@dataclass(frozen=True, kw_only=True)
class BasicAuth(Authentication):
    """Requests need the name and the password of a user. Others are answered by 401."""

    users: UsersFile
    """The file of users, as `htpasswd -B` writes it: USER:HASH in each line, with bcrypt, SHA-crypt
    or apr1 hashes. It is watched, and read again when it changes."""

    remember: Duration = 60.0
    """For how long a right password is not verified again. "0s": it is for each request."""

    failure_delay: Duration = 1.0
    """When a wrong password is answered, after the request came: a person hardly notices, a program
    that guesses does. The time is the same for a user that does not exist."""

    failures: Annotated[int, Field(ge=1)] = 10
    """How many wrong passwords of a client are verified in a minute. More requests of it with
    unknown passwords are answered by 429. An IPv6 /64 counts as one client, and so do all clients
    without an address, as at a Unix socket."""

    def phases(self) -> BasicAuthPhases:
        """See Duty."""
        return BasicAuthPhases(self)

    @cached_property
    def failed(self) -> RateLimit:
        """The wrong passwords of each client. All net threads share it."""
        text = f"{self.failures} wrong passwords per minute"
        return RateLimit(Rate(32, self.failures, PER_S, self.failures, text))

    def warnings(self) -> Iterator[tuple[tuple[str, ...], str]]:
        """Yield hashes that are weak: see `vcproxy.config.key_warnings`."""
        weak = self.users.value.weak
        if weak:
            more = f" and {len(weak) - 1} more" if len(weak) > 1 else ""
            text = f"the hash of {weak[0]!r}{more} is apr1, 1000 rounds of MD5: a stolen file"
            yield ("users",), f"{text} is soon decrypted; write better ones with `htpasswd -B`"


class BasicAuthPhases(AuthenticationPhases):
    """Verifies names and passwords."""

    options: BasicAuth
    scheme = "Basic"

    def __init__(self, options: BasicAuth) -> None:
        super().__init__(options)
        self._key = b""
        self._right: KeptResults[str] = KeptResults()
        self._tried: KeptResults[Hashable] = KeptResults()
        """The client that is counted for credentials that are being verified. It is counted before
        that, or it could have many verified at once; others with equal credentials
        wait for the same result."""

    def request_head(self, tx: Transaction) -> PhaseResult:
        """See Phases."""
        self.without_user_field(tx)
        rules, now = self.options, self.now
        digest = self._digest(tx.request.fields.get(field_name(tx), ""))
        known = self._right.get(digest, now)
        if known is not None:
            return self.accept(tx, known)
        try:
            found = credentials(tx.request.fields, field_name(tx))
            if found is None or found[0] != "basic":
                return self._refused(tx, "a user name and a password are needed")
            user, password = basic(found[1])
        except MalformedCredentials as problem:
            return self._refused(tx, str(problem))
        client = rules.failed.key(tx.client) or WITHOUT_ADDRESS
        if self._tried.get(digest, now) is None:
            if wait_s := rules.failed.take(client, now):
                return refusal(429, "too many wrong passwords from this client", retry_s=wait_s)
            if self._verifying >= MOST_CHECKS:
                rules.failed.give_back(client)
                return refusal(503, "too many passwords are being verified", retry_s=1.0)
            self._tried.put(digest, client, len(digest), now + DEADLINE_S)
        stored, exists = rules.users.value.stored(user)
        then = partial(self._verified, user, digest, exists)
        attempt = Attempt(stored, password)
        return Defer(verify, attempt, deadline=DEADLINE_S, then=then, shares="0s")

    def _verified(
        self, user: str, digest: bytes, exists: bool, tx: Transaction, right: object
    ) -> PhaseResult:
        rules = self.options
        client = self._tried.pop(digest)
        if exists and right is True:
            if client is not None:
                rules.failed.give_back(client)
            if rules.remember:
                self._right.put(digest, user, len(digest), self.now + rules.remember)
            return self.accept(tx, user)
        where = tx.client or "a client without address"
        self.log_seldom("basic_auth", f"basic_auth: wrong password of {user!r} from {where}")
        # The time of the answer does not depend on how long the verification took.
        left_s = tx.began_s + rules.failure_delay - self.now
        return Wait(left_s, then=self._refused) if left_s > 0 else self._refused(tx)

    def _refused(self, tx: Transaction, why: str | None = None) -> Response:
        why = why or "the user name or the password is wrong"
        return self.challenge(tx, why, charset="UTF-8")

    def _digest(self, credentials: str) -> bytes:
        if not self._key:
            self._key = self.engine.random.randbytes(32)
        return blake2b(credentials.encode(), key=self._key).digest()

    @property
    def _verifying(self) -> int:
        waiting = self.engine.pending_calls.waiting()
        return sum(name == verify.__qualname__ for name, _ in waiting)
