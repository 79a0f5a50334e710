"""Tokens: the content of a file of bearer tokens, each with a name for the log.

Tested in tests/http/credentials/test_tokens_file.py.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Annotated, Final

from vcproxy.config.file_content import FileContent, content_of
from vcproxy.http.credentials.users_file import content_lines, raise_problems

SHORTEST: Final = 16
"""Characters of a token: 16 random ones cannot be guessed. Only such a token may be stored as one
round of SHA-256, which makes it as fast to check as a text."""

_TOKEN68 = re.compile(r"[A-Za-z0-9._~+/-]+=*").fullmatch
_HASH = re.compile(r"sha256:([0-9a-fA-F]{64})").fullmatch


@dataclass(frozen=True)
class Tokens:
    """The name of each token, by the SHA-256 of the token. The tokens themselves are not kept."""

    names: Mapping[bytes, str] = field(repr=False)

    @classmethod
    def read(cls, content: bytes) -> Tokens:
        """Return the tokens in the content of a file.

        Each line is NAME:TOKEN or NAME:sha256:HEX, the SHA-256 of the token. Empty lines and lines
        that begin with # are ignored. Raises ValueError with the problems, each with its line; no
        token is in their text.
        """
        names: dict[bytes, str] = {}
        lines: dict[bytes, int] = {}
        problems: list[str] = []
        for number, line in content_lines(content):
            name, _, token = line.partition(":")
            name, token = name.rstrip(), token.lstrip()
            try:
                if not (name and token):
                    raise ValueError("is not of the form NAME:TOKEN")
                digest = _digest(token)
                if digest in lines:
                    raise ValueError(f"the same token is in line {lines[digest]} already")
                names[digest], lines[digest] = name, number
            except ValueError as problem:
                problems.append(f"line {number}: {problem}")
        if not (names or problems):
            problems.append("has no tokens, so no request would be accepted")
        raise_problems(problems)
        return cls(names)

    def name(self, token: str) -> str | None:
        """Return the name of a token that a client has sent; None: it is not in the file.

        The time does not depend on how much of a token is right: digests are compared, and those
        of similar tokens have nothing in common.
        """
        return self.names.get(sha256(token.encode()).digest())


def only_hashes(content: bytes) -> bytes:
    """Return the content of a file of tokens with the SHA-256 of each token in its place."""
    names = Tokens.read(content).names
    return "".join(f"{name}:sha256:{digest.hex()}\n" for digest, name in names.items()).encode()


TokensFile = Annotated[FileContent[Tokens], *content_of(Tokens.read, recorded=only_hashes)]
"""The path of a file of tokens."""


def _digest(token: str) -> bytes:
    if match := _HASH(token):
        return bytes.fromhex(match[1])
    if token.startswith("sha256:"):
        raise ValueError("sha256: must be followed by 64 hexadecimal digits")
    if _TOKEN68(token) is None:
        raise ValueError("a token may have letters, digits and -._~+/ only, and = at its end")
    if len(token) < SHORTEST:
        raise ValueError(
            f"the token has less than {SHORTEST} characters and could be guessed: make one with "
            "`openssl rand -hex 24`"
        )
    return sha256(token.encode()).digest()
