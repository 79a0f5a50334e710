"""Launching: executes a program, and says in plain words why that failed.

subprocess.Popen is used because it alone, in Python, has all that a Launch has (a directory, a
user, descriptors), reports the failure of exec(2), and is safe in a process with several threads:
between vfork(2) and exec(2) only C code runs. posix_spawn has no directory and no user.

Tested in tests/drivers/test_epoll_child_processes.py.
"""

from __future__ import annotations

import errno
import os
import pwd
import signal
import subprocess
import time
from collections.abc import Iterable, Mapping
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from vcproxy.engine.sources.child_process import Launch


BUSY_TRIES, BUSY_S = 20, 0.01
"""How often, and after which pause in seconds, a program is tried again that is open for writing.
One that has just been replaced may be, for a moment, in another process that is being launched."""


class NotLaunched(Exception):
    """The program was not executed; the text is the reason."""


class Running(NamedTuple):
    """A child process that is not reaped yet, so that its pid is its own."""

    pid: int
    pidfd: int
    pipes: dict[str, int]
    """The ends of its pipes in this process, by stream. Who takes them empties it."""

    def close_pipes(self) -> None:
        """Close those that were not taken."""
        for fd in self.pipes.values():
            os.close(fd)
        self.pipes.clear()


def launch(what: Launch) -> Running:
    """Execute a program; return once exec(2) has succeeded. Raises NotLaunched."""
    path = os.path.abspath(what.executable)
    output = _output(what.output)
    theirs: dict[str, int | None] = {"stdin": None, "stdout": output, "stderr": output}
    ours: dict[str, int] = {}
    try:
        for stream in what.pipes:
            reading, writing = os.pipe2(os.O_CLOEXEC)
            theirs[stream], ours[stream] = reading, writing
            if stream != "stdin":
                theirs[stream], ours[stream] = writing, reading
        process = _execute(path, what, theirs)
    except OSError as error:
        _close(ours.values())
        raise NotLaunched(_reason(path, what, error)) from None
    except (ValueError, subprocess.SubprocessError) as error:
        _close(ours.values())
        raise NotLaunched(f"{path}: {error}") from None
    except NotLaunched:
        _close(ours.values())
        raise
    finally:
        _close({fd for fd in (output, *theirs.values()) if fd is not None})
    process.returncode = 0  # it is reaped by its pidfd, not by Popen
    try:
        return Running(process.pid, os.pidfd_open(process.pid), ours)
    except OSError as error:
        _close(ours.values())
        os.kill(process.pid, signal.SIGKILL)
        os.waitpid(process.pid, 0)
        raise NotLaunched(f"{path}: cannot be watched: {_text(error)}") from None


def _close(descriptors: Iterable[int]) -> None:
    for fd in descriptors:
        os.close(fd)


def _execute(path: str, what: Launch, streams: Mapping[str, int | None]) -> subprocess.Popen[bytes]:
    stdin = streams["stdin"]
    identity = _identity(what.user)
    tries = count(1)
    # A child inherits the signal mask of the thread, and a proxy blocks signals.
    mask = signal.pthread_sigmask(signal.SIG_SETMASK, ())
    try:
        while True:
            try:
                return subprocess.Popen(
                    what.arguments,
                    executable=path,
                    cwd=what.directory or None,
                    env={**os.environ, **what.environment},
                    stdin=subprocess.DEVNULL if stdin is None else stdin,
                    stdout=streams["stdout"],
                    stderr=streams["stderr"],
                    pass_fds=what.descriptors,
                    process_group=0,  # of its own: a terminal's ^C goes to this process only
                    **identity,
                )
            except OSError as error:
                if error.errno != errno.ETXTBSY or next(tries) > BUSY_TRIES:
                    raise
            time.sleep(BUSY_S)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)


def _output(path: str) -> int | None:
    if not path:
        return None
    try:
        return os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o640)
    except OSError as error:
        raise NotLaunched(f"its output cannot be written to {path}: {_text(error)}") from None
    except ValueError as error:  # a NUL character
        raise NotLaunched(f"its output cannot be written to {path!r}: {error}") from None


def _identity(user: str) -> dict[str, Any]:
    """Return the arguments of Popen for a user. Raises NotLaunched."""
    if not user:
        return {}
    try:
        entry = pwd.getpwnam(user)
    except (KeyError, ValueError):
        raise NotLaunched(f'there is no user "{user}"') from None
    if entry.pw_uid == os.geteuid():
        return {}
    if os.geteuid():
        raise NotLaunched(f'only root can run a program as another user ("{user}")')
    groups = os.getgrouplist(user, entry.pw_gid)
    return {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": groups}


def _reason(path: str, what: Launch, error: OSError) -> str:
    number = error.errno
    if what.directory and error.filename == what.directory:
        return f"its directory {what.directory} cannot be used: {_text(error)}"
    if number == errno.ENOENT and os.path.exists(path):
        if _first_line(path).endswith(b"\r\n"):
            return f"{path}: its lines end with CR LF: convert them to LF"
        return f"{path}: its interpreter{_interpreter(path)} does not exist"
    if number == errno.EACCES and os.path.isdir(path):
        return f"{path}: it is a directory"
    if number == errno.EACCES and os.access(path, os.X_OK):
        return f"{path}: its interpreter{_interpreter(path)} is not executable"
    if number == errno.EACCES and os.path.exists(path):
        return f"{path}: it is not executable (chmod +x)"
    if number == errno.ENOEXEC:
        return f"{path}: it is neither a program of this system nor a script that begins with #!"
    if number == errno.ETXTBSY:
        return f"{path}: it is being written"
    if number == errno.EAGAIN:
        return f"{path}: the limit of processes is reached: raise it (ulimit -u, TasksMax=)"
    return f"{path}: {_text(error)}"


def _interpreter(path: str) -> str:
    """Return a space and the interpreter that a script names; "" if it names none."""
    first = _first_line(path)
    words = first.removeprefix(b"#!").split()
    return f" {os.fsdecode(words[0])}" if first.startswith(b"#!") and words else ""


def _first_line(path: str) -> bytes:
    """Return what Linux reads of a script: 256 bytes at most. Empty if it cannot be read."""
    try:
        with Path(path).open("rb") as script:
            return script.readline(256)
    except OSError:
        return b""


def _text(error: OSError) -> str:
    if error.errno == errno.EMFILE:
        return "no descriptor is free: raise the limit (ulimit -n)"
    return (error.strerror or str(error)).lower()
