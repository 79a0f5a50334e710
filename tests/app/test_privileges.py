"""Privileges: another user from then on, in every thread and for good; wrong names are errors."""

from __future__ import annotations

import os
import pwd
import subprocess
import sys

import pytest

from tests.unmeasured import unmeasured
from vcproxy.app.privileges import PrivilegeError, drop_privileges, find_account

DROPPED = """
import os, threading
from vcproxy.app.privileges import PrivilegeError, drop_privileges, find_account

started, dropped = threading.Event(), threading.Event()
seen = []

def other() -> None:
    started.set()
    dropped.wait()
    seen.append(open("/proc/thread-self/status").read())

thread = threading.Thread(target=other)
thread.start()
started.wait()
account = find_account("nobody")
drop_privileges(account)
dropped.set()
thread.join()
assert os.getresuid() == (account.uid,) * 3, os.getresuid()
assert os.getresgid() == (account.gid,) * 3, os.getresgid()
assert set(os.getgroups()) == set(account.groups), os.getgroups()
assert f"Uid:\\t{account.uid}\\t{account.uid}\\t{account.uid}" in seen[0], seen
assert "CapEff:\\t0000000000000000" in seen[0], seen
drop_privileges(find_account(str(account.uid)))
try:
    os.setuid(0)
except PermissionError:
    print("for good")
try:
    find_account("root")
except PrivilegeError as refused:
    print(refused)
"""


def test_all_threads_run_as_the_user_for_good() -> None:
    if os.geteuid() != 0:
        with pytest.raises(PrivilegeError, match='only root can change to the user "root"'):
            find_account("root")
        return
    done = subprocess.run(
        [sys.executable, "-c", DROPPED],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env=unmeasured(),
    )
    assert done.stderr == ""
    assert done.stdout == (
        'for good\nonly root can change to the user "root": start as root, or without it\n'
    )


def test_the_own_user_needs_nothing() -> None:
    before = os.getresuid(), os.getresgid(), os.getgroups()

    drop_privileges(find_account(pwd.getpwuid(os.geteuid()).pw_name))

    assert (os.getresuid(), os.getresgid(), os.getgroups()) == before


@pytest.mark.parametrize("name", ["no-such-user", "", "99999999999999999999", "-1"])
def test_an_unknown_user_is_an_error(name: str) -> None:
    with pytest.raises(PrivilegeError, match=f'the user "{name}" does not exist on this system'):
        find_account(name)
