"""Checks of where logs are written to: `log` of [proxy], and `file` of access logs.

Tested in tests/config/test_access_log.py and test_log_target.py.
"""

import os
from collections.abc import Iterator
from pathlib import Path

from vcproxy.config.certificate_files import authorities
from vcproxy.config.errors import KeyProblem
from vcproxy.config.log_target import SyslogServer
from vcproxy.config.positions import KeyPath
from vcproxy.config.schema import Settings


def problems(settings: Settings) -> Iterator[KeyProblem]:
    """Yield what is wrong with the targets of logs."""
    # A process that has left root has opened its files before, and may not be able to now.
    judges = settings.proxy.user is None
    yield from _target(settings.proxy.log, ("proxy", "log"), judges)
    common = settings.access_log
    if common is not None:
        yield from _target(common.file, ("access_log", "file"), judges)
    for index, listener in enumerate(settings.listener):
        own = listener.access_log
        path: KeyPath = ("listener", index, "access_log")
        if own is not None and own.enabled:
            yield from _target(own.file, (*path, "file"), judges)
            if own.file is None and common is None:
                text = "is missing, and there is no [access_log] to take it from"
                yield KeyProblem((*path, "file"), text, because=(("access_log",),))


def _target(target: object, path: KeyPath, judges: bool) -> Iterator[KeyProblem]:
    if isinstance(target, SyslogServer):
        yield from authorities(target.ca, path)
    elif isinstance(target, Path) and (reason := _unfit(target, judges)):
        yield KeyProblem(path, reason)


def _unfit(file: Path, judges: bool) -> str:
    """Return why a file cannot be appended to; "": nothing is known that prevents it. `judges`:
    whether the permissions of this process count."""
    if not file.parent.is_dir():
        return f"there is no directory {file.parent}: create it"
    if file.is_dir():
        return f"{file} is a directory: write the name of a file in it"
    if judges and not os.access(file if file.exists() else file.parent, os.W_OK):
        return f"{file} cannot be written by this user: allow it, or write another place"
    return ""
