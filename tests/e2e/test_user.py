"""`proxy.user`: a proxy that is started as root binds its addresses, and then leaves root."""

from __future__ import annotations

import os
import pwd
import signal
from pathlib import Path

import pytest

from tests.e2e.conftest import Starter
from tests.e2e.running import Running, eventually
from tests.e2e.several import listener, replaced, served_by, two_workers, who, workers

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can change its user")

NOBODY = pwd.getpwnam("nobody")


def runs_as(pid: int) -> tuple[set[str], set[str]]:
    """Return all user numbers and all group numbers of a process, of all its threads."""
    users, groups = set(), set()
    for task in Path(f"/proc/{pid}/task").iterdir():
        for line in (task / "status").read_text().splitlines():
            key, _, values = line.partition(":")
            if key == "Uid":
                users |= set(values.split())
            elif key in ("Gid", "Groups"):
                groups |= set(values.split())
    return users, groups


AS_NOBODY = {str(NOBODY.pw_uid)}, {str(NOBODY.pw_gid)}


@pytest.mark.parametrize("count", [1, 2])
def test_it_runs_as_the_user_when_its_addresses_are_bound(
    proxy: Starter, tmp_path: Path, count: int
) -> None:
    """The folder of the Unix socket is one that only root can use."""
    tmp_path.chmod(0o700)
    text = two_workers(tmp_path, listener(), listener("local", "unix:local.sock"))
    text = text.replace("workers = 2", f'workers = {count}\nnet_threads = 2\nuser = "nobody"')
    running = proxy(text)
    for name in ("who", "local"):
        with running.connect(name) as client:
            assert runs_as(who(client)) == AS_NOBODY
    for pid in workers(running):
        assert runs_as(pid) == AS_NOBODY
    if count == 2:
        assert runs_as(running.pid)[0] == {"0"}, "the master binds the addresses of a reload"
        rewritten(running, text + listener("more", "unix:more.sock"), "reloaded .*: new")
        with running.connect("more") as client:
            who(client)
        first = workers(running)[0]
        os.kill(first, signal.SIGKILL)
        replaced(running, first)
        with served_by(running, workers(running)[0]) as client:
            assert runs_as(who(client)) == AS_NOBODY
    else:
        rewritten(running, text, "not reloaded")
        running.wait_for("[Pp]ermission denied")
        with running.connect("who") as client:
            who(client)
    eventually(lambda: running.descriptors() <= running.idle_descriptors + 2, "clients are gone")
    running.signal(signal.SIGTERM)
    assert running.wait() == 0


def rewritten(running: Running, text: str, result: str) -> None:
    """Reload another configuration, and wait for its result in the log."""
    running.file.write_text(text)
    running.signal(signal.SIGHUP)
    running.wait_for(result)
