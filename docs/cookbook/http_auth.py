"""http_auth: only requests with a known token are served; the server gets the token's owner.

    [[listener]]
    name = "api"
    bind = "tcp://127.0.0.1:15321"
    plugin = "http_proxy"
    upstream = "shop"
    options.filters = [{ plugin = "http_auth.py", options.database = "tokens.sqlite" }]
    [upstream.shop]
    servers = ["tcp://127.0.0.1:8080"]

Only this request waits for the database. If the database fails or takes too long, the request is
answered 500, and nothing is forwarded.
"""

import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from vcproxy.api import Defer, Duration, FilePath, Filter, Response, Transaction


def owner_of(database: Path, token: str) -> str | None:
    """Runs on another thread: it may block, and must not use the transaction."""
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as db:
        row = db.execute("SELECT owner FROM tokens WHERE token = ?", [token]).fetchone()
        return None if row is None else str(row[0])


class Auth(Filter):
    @dataclass(frozen=True)
    class Options:
        database: FilePath
        """It has a table `tokens` with the columns `token` and `owner`."""
        known_for: Duration = 0.0
        """How long the owner of a token is not looked up again: so long a revoked one is valid."""

    options: Options

    def request_head(self, tx: Transaction) -> Defer | Response | None:
        scheme, _, token = tx.request.fields.get("Authorization", "").partition(" ")
        if scheme.lower() != "bearer":
            return self.decide(tx, None)
        at, known_for = self.options.database, self.options.known_for
        return Defer(owner_of, at, token, deadline="2s", then=self.decide, shares=known_for)

    def decide(self, tx: Transaction, owner: str | None) -> Response | None:
        if owner is None:
            return Response(401, {"WWW-Authenticate": "Bearer"}, b"unknown token\n")
        tx.request.fields["X-User"] = owner  # replaces what the client sent
        return None
