"""Users: the content of a file of users and hashed passwords, as `htpasswd` writes it.

Tested in tests/http/credentials/test_users_file.py.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Annotated

from vcproxy.config.file_content import FileContent, content_of
from vcproxy.http.credentials.password_hash import NO_PASSWORD, check_hash, is_weak

MOST_PROBLEMS = 5
"""Problems of a file that are shown: a file in another format has one in each line."""


@dataclass(frozen=True)
class Users:
    """The hash of each user's password, by the user's name."""

    hashes: Mapping[str, str] = field(repr=False)

    @classmethod
    def read(cls, content: bytes) -> Users:
        """Return the users in the content of a file.

        Each line is USER:HASH; what follows another colon is a comment. Empty lines and lines that
        begin with # are ignored. Raises ValueError with the problems, each with its line.
        """
        lines: dict[str, int] = {}
        hashes: dict[str, str] = {}
        problems: list[str] = []
        for number, line in content_lines(content):
            name, colon, rest = line.partition(":")
            stored = rest.partition(":")[0]
            try:
                if not colon or not name:
                    raise ValueError("is not of the form USER:HASH")
                if name in lines:
                    raise ValueError(f"{name!r} is in line {lines[name]} already")
                lines[name] = number
                check_hash(stored)
            except ValueError as problem:
                problems.append(f"line {number}: {problem}")
            hashes[name] = stored
        if not (hashes or problems):
            problems.append("has no users: every request would be refused")
        raise_problems(problems)
        return cls(hashes)

    @property
    def weak(self) -> list[str]:
        """The users whose hashes are accepted for the sake of old files only."""
        return [user for user, stored in self.hashes.items() if is_weak(stored)]

    def stored(self, user: str) -> tuple[str, bool]:
        """Return the hash to verify a user's password with, and whether there is that user.

        For an unknown user it is that of another one: the answer must take as long.
        """
        stored = self.hashes.get(user)
        if stored is not None:
            return stored, True
        return next(iter(self.hashes.values())), False


def without_hashes(content: bytes) -> bytes:
    """Return the content of a file of users with another hash in place of each."""
    users = Users.read(content).hashes
    return "".join(f"{user}:{NO_PASSWORD}\n" for user in users).encode()


UsersFile = Annotated[FileContent[Users], *content_of(Users.read, recorded=without_hashes)]
"""The path of a file of users."""


def content_lines(content: bytes) -> Iterator[tuple[int, str]]:
    """Yield number and text of each line that is neither empty nor a comment.

    Raises ValueError for what is not UTF-8.
    """
    try:
        text = content.decode()
    except UnicodeDecodeError as error:
        wrong = content.count(b"\n", 0, error.start) + 1
        raise ValueError(f"line {wrong}: is not UTF-8") from None
    for number, line in enumerate(text.split("\n"), 1):
        stripped = line.strip()
        if stripped and not stripped.startswith("#"):
            yield number, stripped


def raise_problems(problems: list[str]) -> None:
    """Raise ValueError with the problems of a file, if there are any."""
    if len(problems) > MOST_PROBLEMS:
        more = len(problems) - MOST_PROBLEMS
        problems = [*problems[:MOST_PROBLEMS], f"and {more} more"]
    if problems:
        raise ValueError("; ".join(problems))
