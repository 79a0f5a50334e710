"""The directory of the control sockets: where it is, who may write to it, and stale sockets."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from vcproxy.app.control.runtime_directory import (
    control_socket,
    prepare_directory,
    runtime_directory,
)


@pytest.fixture
def session(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return $XDG_RUNTIME_DIR."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    return tmp_path


def bound(path: Path) -> socket.socket:
    """Return a socket that listens at a path."""
    sock = socket.socket(socket.AF_UNIX)
    sock.bind(str(path))
    sock.listen()
    return sock


def ended() -> int:
    """Return the number of a process that has ended."""
    done = subprocess.Popen([sys.executable, "-c", ""])
    done.wait()
    return done.pid


def test_it_is_that_of_the_session_or_of_the_system(
    session: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert control_socket(7) == session / "vcproxy" / "7.sock"
    for relative in ("", "run"):  # the XDG specification: relative paths are ignored
        monkeypatch.setenv("XDG_RUNTIME_DIR", relative)
        assert runtime_directory() == Path("/run/vcproxy")
    monkeypatch.delenv("XDG_RUNTIME_DIR")
    assert runtime_directory() == Path("/run/vcproxy")


def test_sockets_of_processes_that_have_ended_are_removed(session: Path) -> None:
    prepare_directory()
    stale, live, own = (control_socket(each) for each in (ended(), 1, os.getpid()))
    for path in (stale, own, control_socket(10**12)):
        bound(path).close()
    other = session / "vcproxy" / "bus.sock"
    bound(other).close()
    with closing(bound(live)):
        prepare_directory()
        assert live.exists()
    assert own.exists(), "its process runs: it may be about to listen"
    assert other.exists(), "it is not named after a process"
    assert not stale.exists()


def test_a_socket_that_answers_stays_whatever_its_name(session: Path) -> None:
    """Its process may be in another container."""
    prepare_directory()
    path = control_socket(ended())
    with closing(bound(path)):
        prepare_directory()
        assert path.exists()


def test_a_directory_that_others_can_write_to_is_refused(session: Path) -> None:
    (session / "vcproxy").mkdir()
    (session / "vcproxy").chmod(0o777)
    with pytest.raises(PermissionError, match="another user can write to "):
        prepare_directory()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_a_directory_of_another_user_is_refused(session: Path) -> None:
    (session / "vcproxy").mkdir()
    os.chown(session / "vcproxy", 12345, 12345)
    with pytest.raises(PermissionError, match="another user can write to "):
        prepare_directory()


def test_a_link_is_refused(session: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    (session / "vcproxy").symlink_to(tmp_path_factory.mktemp("elsewhere"))
    with pytest.raises(NotADirectoryError):
        prepare_directory()


def test_a_directory_that_cannot_be_made(session: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(session / "none"))
    with pytest.raises(FileNotFoundError):
        prepare_directory()
