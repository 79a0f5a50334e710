"""Hashes of passwords as `htpasswd` of Apache writes them: which are accepted, and verification.

    $2y$, $2b$, $2a$    bcrypt, `htpasswd -B`: recommended
    $6$, $5$            SHA-crypt, `htpasswd -5` and `-2`
    $apr1$              1000 rounds of MD5, what htpasswd writes by default: accepted, but weak

Others are refused: what one processor tries out in millions for each second is no protection.
The libraries are imported when a file has hashes of their kind. Tested in
tests/http/credentials/test_users_file.py.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from importlib import import_module
from typing import Final

EXTRA: Final = "pip install '.[passwords]' in the checkout"
"""How the libraries are installed."""

NO_PASSWORD: Final = f"$2b$04${'.' * 53}"
"""A hash that no password has, for files without secrets."""

MOST_BCRYPT: Final = 72
"""Bytes of a password that bcrypt uses. Apache and nginx ignore those after them, as crypt() does;
the library raises an error instead."""

MOST_ROUNDS: Final = 1_000_000
"""The most rounds of SHA-crypt: half a second of processor time for each password."""

MOST_COST: Final = 15
"""The highest cost of bcrypt: about two seconds for each password. `htpasswd` writes up to 17."""

_BCRYPT = re.compile(r"\$2[aby]\$([0-9]{2})\$[./0-9A-Za-z]{53}").fullmatch
_SHA = re.compile(
    r"\$(?:5|6)\$(?:rounds=([0-9]+)\$)?[^$:]{1,16}\$(?:[./0-9A-Za-z]{43}|[./0-9A-Za-z]{86})"
).fullmatch
_APR1 = re.compile(r"\$apr1\$[^$:]{1,8}\$[./0-9A-Za-z]{22}").fullmatch

_REFUSED: Final = (
    (re.compile(r"\{SHA\}"), "one round of SHA-1 without salt"),
    (re.compile(r"\$y\$|\$argon2|\$scrypt|\$7\$"), "of a kind that htpasswd does not write"),
    (re.compile(r"\$"), "damaged, or of an unknown kind"),
    (re.compile(r"[./0-9A-Za-z]{13}$"), "that of the old crypt(), which uses 8 characters only"),
)


def check_hash(stored: str) -> None:
    """Raise ValueError with the reason for a hash that is not accepted, or cannot be verified."""
    if match := _BCRYPT(stored):
        _limit(int(match[1]), MOST_COST, "cost")
        _needs("bcrypt", "bcrypt")
    elif match := _SHA(stored):
        _limit(int(match[1] or 0), MOST_ROUNDS, "rounds")
        _needs("passlib.handlers.sha2_crypt", "SHA-crypt")
    elif _APR1(stored):
        _needs("passlib.handlers.md5_crypt", "MD5")
    else:
        why = next((text for kind, text in _REFUSED if kind.match(stored)), "")
        what = f"the hash is {why}" if why else "the password is not hashed"
        raise ValueError(f"{what}: replace it with `htpasswd -B`")


def is_weak(stored: str) -> bool:
    """Whether a hash is accepted for the sake of old files only."""
    return stored.startswith("$apr1$")


@dataclass(frozen=True, slots=True, repr=False)
class Attempt:
    """A hash, and the password that a client has sent. Recordings and logs show neither."""

    stored: str
    password: bytes

    def __repr__(self) -> str:
        return "(a password)"


def verify(attempt: Attempt) -> bool:
    """Whether a password has a hash. It takes milliseconds or more, on any thread."""
    stored, password = attempt.stored, attempt.password
    if stored.startswith("$2"):
        import bcrypt

        try:
            return bcrypt.checkpw(password[:MOST_BCRYPT], stored.encode())
        except ValueError:  # older versions, for a password with a NUL byte
            return False
    from passlib.exc import PasswordSizeError, PasswordValueError
    from passlib.handlers.md5_crypt import apr_md5_crypt
    from passlib.handlers.sha2_crypt import sha256_crypt, sha512_crypt

    kinds = {"$5": sha256_crypt, "$6": sha512_crypt}
    try:
        return bool(kinds.get(stored[:2], apr_md5_crypt).verify(password, stored))
    except (PasswordSizeError, PasswordValueError):  # over 4096 bytes, or with a NUL byte
        return False


def _limit(number: int, most: int, noun: str) -> None:
    if number > most:
        raise ValueError(f"the {noun} of the hash is {number}: at most {most} is accepted")


def _needs(module: str, noun: str) -> None:
    try:
        import_module(module)
    except ImportError:
        raise ValueError(f"{noun} needs a library that is not installed: {EXTRA}") from None
