"""The command `vcproxy stop-process`: end a process in order, and return how that went.

The process is held by a descriptor from before it is looked at (pidfd_open(2)): no signal can reach
another process that got its number. Source: eventdispatcher.md 6, `ed-stop`.
"""

from __future__ import annotations

import argparse
import os
import pwd
import select
import signal
import sys
from time import monotonic
from typing import TYPE_CHECKING

from vcproxy.app.commands.argument_types import seconds
from vcproxy.app.commands.command_error import CommandError
from vcproxy.engine.units import show_duration
from vcproxy.printable_text import printable

if TYPE_CHECKING:
    from vcproxy.app.commands.processes import ProcessEntry

ABOUT = """\
End a process in order: SIGINT, which programs take as the request to finish; if it still runs after
--timeout, SIGTERM, and 10 s more. SIGKILL is left to you. The command returns when the process has
ended; the exit status is 0 only then.

  vcproxy stop-process 4711                   by its number
  vcproxy stop-process redis-server           by its name, as `ps -C` and `pidof` use it
  vcproxy stop-process --timeout 5m 4711      give it more time to finish its work

A name must match exactly one process of yours. If several match, nothing is sent, and they are
listed: choose one by its number.
"""

EPILOG = """\
exit status: 0 the process has ended, 1 it still runs, 2 wrong command line, 3 there is no such
process, 4 refused: several processes have that name, or it belongs to another user.

A proxy drains its connections first, for `[proxy] drain_timeout` at most: give it more time than
that. Its message STOP does the same, see `vcproxy signal --help`.
"""

AFTER_TERM_S = 10.0
"""How long a process may take after SIGTERM, as in the original."""

TICK_S = 1.0
"""How often the progress is shown."""


class StillRuns(CommandError):
    """It has not ended, in spite of both signals."""

    status = 1


class NotRunning(CommandError):
    """There is no such process."""

    status = 3


class NotStopped(CommandError):
    """No signal was sent: the process is not certain, or not this user's."""

    status = 4


def add_to(
    commands: argparse._SubParsersAction[argparse.ArgumentParser],
) -> dict[str, argparse.ArgumentParser]:
    """Add the command `stop-process` to the command line; return its parser."""
    parser = commands.add_parser(
        "stop-process",
        help="end a process in order, by number or name",
        description=ABOUT,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.set_defaults(act=_stop_process)
    parser.add_argument(
        "-t",
        "--timeout",
        metavar="TIME",
        type=seconds,
        default=60.0,
        help="how long to wait after SIGINT before SIGTERM is sent: 90s, 5m, or a number of "
        "seconds (default: 60s)",
    )
    parser.add_argument(
        "process", metavar="NAME|PID", help="its number; any other text is a name, without a path"
    )
    return {"stop-process": parser}


def _stop_process(chosen: argparse.Namespace) -> int:
    from vcproxy.app.commands.processes import find_process

    given: str = chosen.process
    by_number = given.isascii() and given.isdecimal()
    pid = int(given) if by_number else _only(given).pid
    descriptor = _opened(pid)
    try:
        entry = find_process(pid)
        if _ended(descriptor, 0):
            raise NotRunning(f"{given}: it has ended already")
        if entry is None:
            raise NotStopped(f"{given}: it belongs to another user, and /proc hides it from you")
        if not by_number and given not in entry.names:
            raise NotRunning(f"{given}: it has ended, and another process has its number {pid} now")
        _stop(descriptor, entry, chosen.timeout)
    finally:
        os.close(descriptor)
    return 0


def _only(name: str) -> ProcessEntry:
    """Return the only process of a name that belongs to this user. Raises CommandError."""
    from vcproxy.app.commands.processes import named

    user = os.geteuid()
    found = list(named(name))
    own = [each for each in found if each.user == user]
    if len(own) == 1:
        return own[0]
    if own:
        raise NotStopped(
            f"{name}: {len(own)} processes have this name; nothing was sent. Choose one by its "
            f"number:\n{_listed(own)}"
        )
    if found:
        raise NotStopped(
            f"{name}: no process of user {_user(user)} has this name; nothing was sent. Those of "
            f"other users, which only they or root can stop by number:\n{_listed(found)}"
        )
    raise NotRunning(f"{name}: no process has this name")


def _listed(entries: list[ProcessEntry]) -> str:
    return "\n".join(f"  {printable(str(each))}, user {_user(each.user)}" for each in entries)


def _user(number: int) -> str:
    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:
        return str(number)


def _opened(pid: int) -> int:
    """Return a descriptor of the process with a number. Raises CommandError."""
    try:
        return os.pidfd_open(pid)
    except (ProcessLookupError, OverflowError):
        raise NotRunning(f"{pid}: no process has this number") from None
    except OSError as error:  # EINVAL: 0, or a thread that is not the first of its process
        raise NotRunning(f"{pid}: it is not the number of a process: {_reason(error)}") from None


def _stop(descriptor: int, entry: ProcessEntry, timeout_s: float) -> None:
    """Send SIGINT, then SIGTERM, until the process has ended. Raises CommandError."""
    about, began = printable(str(entry)), monotonic()
    for number, limit_s in ((signal.SIGINT, timeout_s), (signal.SIGTERM, AFTER_TERM_S)):
        try:
            signal.pidfd_send_signal(descriptor, number)
        except ProcessLookupError:
            break  # since it was looked at last
        except PermissionError:
            user = _user(entry.user)
            raise NotStopped(
                f"{about}: not permitted to send it a signal: it belongs to user {user}"
            ) from None
        print(
            f"{about}: sent {number.name}; waiting for its end, {show_duration(limit_s)} at most",
            file=sys.stderr,
        )
        if _waited(descriptor, limit_s):
            break
    else:
        raise StillRuns(f"{about}: it still runs{_why(entry.pid)}")
    print(f"{about}: it has ended, after {monotonic() - began:.1f}s")


def _why(pid: int) -> str:
    from vcproxy.app.commands.processes import find_process

    now = find_process(pid)
    if now is not None and now.state in "Tt":
        return f": it is stopped, and takes signals when it is continued: kill -CONT {pid}"
    return f" after SIGINT and SIGTERM: it may ignore them; what remains is kill -KILL {pid}"


def _waited(descriptor: int, limit_s: float) -> bool:
    """Wait for the end of a process, with progress on a terminal; return whether it has ended."""
    from vcproxy.replay.playback.progress import ProgressBar  # not needed to list the commands

    bar, began = ProgressBar(), monotonic()
    try:
        while (left := began + limit_s - monotonic()) > 0:
            if _ended(descriptor, min(left, TICK_S)):
                return True
            passed = monotonic() - began
            bar.draw(min(passed / limit_s, 1), f"{passed:.0f}s of {show_duration(limit_s)}")
    finally:
        bar.clear()
    return _ended(descriptor, 0)


def _ended(descriptor: int, wait_s: float) -> bool:
    """Return whether a process has ended; wait for it at most so long."""
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    return bool(poll.poll(wait_s * 1000))


def _reason(error: OSError) -> str:
    return os.strerror(error.errno or 0).lower()
