"""Privileges: run as another user from some moment on, for example after binding low ports.

Tested in tests/app/test_privileges.py.
"""

from __future__ import annotations

import os
import pwd
from dataclasses import dataclass


class PrivilegeError(Exception):
    """The process cannot run as a user; the text gives the reason and what to do."""


@dataclass(frozen=True, slots=True)
class Account:
    """A user of this system."""

    name: str
    uid: int
    gid: int
    """Of the user's own group."""
    groups: tuple[int, ...]
    """All groups of the user."""


def find_account(user: str) -> Account:
    """Return the account of a user, by name or number, if this process may run as that user.

    Raises PrivilegeError. Call it at the start, so that a wrong name is an error at once.
    """
    try:
        entry = pwd.getpwuid(int(user)) if user.isdecimal() else pwd.getpwnam(user)
    except (KeyError, OverflowError):
        raise PrivilegeError(
            f'the user "{user}" does not exist on this system: create it, or name another'
        ) from None
    if os.geteuid() not in (0, entry.pw_uid):
        raise PrivilegeError(
            f'only root can change to the user "{user}": start as root, or without it'
        )
    groups = os.getgrouplist(entry.pw_name, entry.pw_gid)
    return Account(entry.pw_name, entry.pw_uid, entry.pw_gid, tuple(sorted(groups)))


def drop_privileges(account: Account) -> None:
    """Run as another user, in all threads and for good. Nothing changes if it is the user already.

    Open files stay open. Modules that are imported later must be readable for the user. Raises
    PrivilegeError.
    """
    if os.getresuid() == (account.uid,) * 3:
        return
    try:
        os.setgroups(account.groups)
        os.setresgid(account.gid, account.gid, account.gid)
        os.setresuid(account.uid, account.uid, account.uid)  # last: the others need root
    except OSError as error:
        raise PrivilegeError(
            f'cannot change to the user "{account.name}": {error.strerror}'
        ) from None
