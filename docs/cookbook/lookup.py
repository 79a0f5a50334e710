"""lookup: a database decides whether a request is forwarded, within 2 seconds.

    [[listener]]
    name = "customers"
    bind = "tcp://127.0.0.1:15309"
    plugin = "lookup.py"
    upstream = "shop"
    options.database = "customers.sqlite"
    [upstream.shop]
    servers = ["tcp://127.0.0.1:8080"]

Only this client waits for the database. If it fails or takes too long, the client is closed, and
the request is not forwarded.
"""

import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from vcproxy.api import Accept, Defer, FilePath, Reject, Validator, Verdict


def is_customer(database: Path, name: str) -> bool:
    """Runs on another thread: it may block, and must not use the session."""
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as db:
        return db.execute("SELECT 1 FROM customers WHERE name = ?", [name]).fetchone() is not None


class Lookup(Validator):
    @dataclass(frozen=True)
    class Options:
        database: FilePath
        """It has a table `customers` with a column `name`."""

    options: Options
    in_turn = True

    def check(self, message: bytes) -> Verdict:
        name = message.partition(b" ")[0].decode(errors="replace")
        return Defer(is_customer, self.options.database, name, deadline="2s", then=self.decide)

    def decide(self, message: bytes, known: bool) -> Verdict:
        return Accept() if known else Reject(b"unknown customer\n", keep=True)
