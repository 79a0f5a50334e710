"""What the start of every process of a proxy needs: its log, its user, and its error.

Tested in tests/e2e/test_command_line.py and test_user.py.
"""

from __future__ import annotations

import os

from vcproxy.app.logs.log import LineLog
from vcproxy.config.loader import Configuration


class StartError(Exception):
    """The proxy cannot start; the text is printed on standard error."""


def open_log(configuration: Configuration, prefix: str = "") -> LineLog:
    """Return the log of a configuration. `prefix`: see LineLog. Raises StartError."""
    try:
        return LineLog(configuration.settings.proxy.log, prefix)
    except (OSError, ValueError) as error:
        raise StartError(f"{configuration.file}: proxy.log: {error}") from None


def run_as_configured(configuration: Configuration, log: LineLog) -> None:
    """Run as `proxy.user` from now on, for good. Raises StartError.

    Only root can do that: a process of another user logs a warning and goes on as that user.
    """
    user = configuration.settings.proxy.user
    if user is None:
        return
    from vcproxy.app.privileges import PrivilegeError, drop_privileges, find_account

    try:
        drop_privileges(find_account(user))
    except PrivilegeError as error:
        if os.geteuid() == 0:
            raise StartError(f"{configuration.file}: proxy.user: {error}") from None
        log("warning", f"proxy.user has no effect: {error}")
