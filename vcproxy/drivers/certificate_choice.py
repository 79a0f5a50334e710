"""Which certificates a server may present for which requested name.

Clients differ in the types of keys that they support, so a name may have one certificate of each
type; OpenSSL chooses among these. Names and types are read from the files.

Tested in tests/drivers/test_certificate_choice.py.
"""

from __future__ import annotations

import re
from base64 import b64decode
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from vcproxy.drivers.certificate import read_names
from vcproxy.input_files import read_file


class Identity(NamedTuple):
    """A certificate and its key: two PEM files, or the same file twice."""

    certificate: str | Path
    """The certificate, followed by its intermediates."""
    key: str | Path


class Choice(NamedTuple):
    """The identities of a server; those in one tuple have keys of different types."""

    default: tuple[Identity, ...]
    """For clients that request no name, or an unknown one."""
    by_name: Mapping[str, tuple[Identity, ...]]
    """By the name, in lower case; "*.example": each name with one label before "example"."""

    def of(self, name: str) -> tuple[Identity, ...]:
        """Return those for a name in lower case, without a final dot."""
        by_name = self.by_name
        return by_name.get(name) or by_name.get("*." + name.partition(".")[2]) or self.default


def canonical(name: str) -> str:
    """Return a name in the form that is compared (RFC 4343, RFC 1034 section 3.1)."""
    return name.lower().removesuffix(".")


def choose(
    default: Identity, names: Mapping[str, Identity], others: Sequence[Identity] = ()
) -> Choice:
    """Return which identities are for which name.

    Args:
        default: for all other names.
        names: identities by name, whatever names their certificates have.
        others: further identities, for the names in their certificates. With them, `default` is
            also one for its own names. If two have the same name and type, the first one is used.
            One that is for all names of `default`, with a key of another type, is for all other
            names too.

    Raises:
        ValueError: the names or the type of a file cannot be read; the text names it.
    """
    if not others:
        return Choice((default,), {canonical(name): (each,) for name, each in names.items()})
    types = {each: key_type(each.key) for each in (default, *names.values(), *others)}
    chosen: dict[str, dict[str, Identity]] = {}
    for name, each in names.items():
        chosen[canonical(name)] = {types[each]: each}
    of_default = set(_names(default))
    for each in (default, *others):
        for name in _names(each):
            chosen.setdefault(name, {}).setdefault(types[each], each)
    for name, of_name in chosen.items():
        for kind, each in chosen.get("*." + name.partition(".")[2], {}).items():
            of_name.setdefault(kind, each)
    defaults = {types[default]: default}
    for each in others:
        if of_default and of_default <= set(_names(each)):
            defaults.setdefault(types[each], each)
    return Choice(
        tuple(defaults.values()),
        {name: tuple(of_name.values()) for name, of_name in chosen.items()},
    )


def _names(identity: Identity) -> list[str]:
    return [canonical(name) for name in read_names(Path(identity.certificate))]


_OIDS: Final = {
    "RSA": "2a864886f70d010101",
    "RSA-PSS": "2a864886f70d01010a",
    "EC": "2a8648ce3d0201",
    "Ed25519": "2b6570",
    "Ed448": "2b6571",
}
"""The object identifiers of the types, in DER (RFC 8017, 5480, 8410)."""

_HEADER: Final = 44
"""Characters of base64 at the beginning of a key that contain its type (RFC 5208, section 5)."""


def key_type(path: str | Path) -> str:
    """Return the type of a private key in PEM: one certificate of each may be used for a name.

    Raises:
        ValueError: it cannot be read, or is no key of a type that TLS uses.
    """
    try:
        content = read_file(Path(path)).decode("latin-1")
    except OSError as error:
        raise ValueError(f"key {path}: {error.strerror}") from None
    found = re.search(r"-----BEGIN ((?:\w+ )*)PRIVATE KEY-----([^-]*)", content)
    if found is None:
        raise ValueError(f"key {path}: contains no PEM private key")
    if found[1]:
        return found[1].strip()  # "RSA" or "EC": the older forms name the type
    text = re.sub(r"[^0-9A-Za-z+/]", "", found[2])[:_HEADER]
    head = b64decode(text[: len(text) // 4 * 4])
    for kind, oid in _OIDS.items():
        if bytes.fromhex(oid) in head:
            return kind
    raise ValueError(f"key {path}: its type is not known: use RSA, EC or Ed25519")
