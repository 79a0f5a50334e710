"""Checks of addresses in this host: the owners of files, and serial lines.

Tested in tests/config/test_local_addresses.py.
"""

from __future__ import annotations

import grp
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from vcproxy.config.errors import KeyProblem
from vcproxy.config.user import find_user

if TYPE_CHECKING:
    from vcproxy.config.positions import KeyPath
    from vcproxy.config.schema import Settings
    from vcproxy.engine.address import Address


def problems(bound: Iterable[tuple[KeyPath, Address]]) -> Iterator[KeyProblem]:
    """Yield the users and groups of addresses to listen at that do not exist."""
    for path, address in bound:
        owner, group = address.parameter("owner"), address.parameter("group")
        for what, name, found in (
            ("user", owner, not owner or owner.isdecimal() or find_user(owner) is not None),
            ("group", group, not group or group.isdecimal() or _is_group(group)),
        ):
            if not found:
                text = f'the {what} "{name}" does not exist on this system: create it, or name '
                yield KeyProblem(path, f"{text}another")


def _is_group(name: str) -> bool:
    try:
        grp.getgrnam(name)
    except KeyError:
        return False
    return True


def lines(settings: Settings) -> Iterator[KeyProblem]:
    """Yield the serial lines that several workers would open: each has one connection."""
    if settings.proxy.workers == 1:
        return
    for name, upstream in settings.upstream.items():
        for item, address in enumerate(upstream.addresses):
            if address.scheme == "serial":
                text = (
                    f"{address}: only one process at a time can use a serial line: write "
                    "workers = 1 in [proxy]"
                )
                yield KeyProblem(
                    ("upstream", name, "servers", item), text, because=(("proxy", "workers"),)
                )
