"""The user of `proxy.user`, as the system has it. Tested in tests/config/test_user.py."""

import os
import pwd
from collections.abc import Iterator
from typing import TYPE_CHECKING

from vcproxy.config.errors import KeyProblem

if TYPE_CHECKING:
    from vcproxy.config.schema import Settings


def find_user(user: str) -> int | None:
    """Return the number of a user, given by name or number; None: there is no such user."""
    try:
        entry = pwd.getpwuid(int(user)) if user.isdecimal() else pwd.getpwnam(user)
    except (KeyError, OverflowError):
        return None
    return entry.pw_uid


def problems(settings: "Settings") -> Iterator[KeyProblem]:
    """Yield a problem if the user does not exist."""
    user = settings.proxy.user
    if user is not None and find_user(user) is None:
        text = f'the user "{user}" does not exist on this system: create it, or name another'
        yield KeyProblem(("proxy", "user"), text)


def notes(settings: "Settings") -> Iterator[tuple[str, str]]:
    """Yield a note if this process could not change to the user."""
    user, own = settings.proxy.user, os.geteuid()
    if user is not None and own not in (0, find_user(user)):
        yield "proxy.user", f"only root can change its user: started by user {own}, it stays {own}"
