"""What a reload would change: for `vcproxy -t`, beside the running proxy or another file.

Tested in tests/app/commands/test_reload_preview.py and tests/e2e/test_check_before_reload.py.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from vcproxy.app.commands.command_error import CommandError
from vcproxy.config.errors import ConfigError
from vcproxy.config.loader import Configuration, load
from vcproxy.config.tables.control import UNIX

if TYPE_CHECKING:
    from vcproxy.app.commands.control_client import ControlClient
    from vcproxy.config.effective import Place

WAIT_S: Final = 5.0
"""How long to wait for a running proxy: one that hangs must not hang the check."""


def beside_file(configuration: Configuration, old: Path) -> str:
    """Return what changes if a configuration takes the place of another one.

    The other one is read as if it stood in the same place, so its relative paths name the same
    files. Raises ConfigError.
    """
    from vcproxy.config.effective import flat_settings

    file = configuration.file
    try:
        before = load(file, text_of=old)
    except ConfigError as error:
        problems = (
            replace(each, file=old) if each.file == file else each for each in error.problems
        )
        raise ConfigError(*problems) from None
    found = _lines(flat_settings(before, hidden=False), flat_settings(configuration, hidden=False))
    return _shown(f"{file}: beside {old}", found)


def beside_running(configuration: Configuration) -> str:
    """Return what a reload would change in the proxy that runs with this file; "": none was found.

    Secrets are not compared: a proxy does not answer them.
    """
    client = _client(configuration)
    if client is None:
        return ""
    from vcproxy.config.effective import flat_settings

    try:
        rows = client.get("show/settings", {"limit": "0"})["rows"]
        before = {_place(row): str(row["value"]) for row in rows}
        process = client.get("show/process")["rows"][0]["pid"]
    except (CommandError, LookupError, TypeError):
        return ""  # another version, or one that has just ended
    found = _lines(before, flat_settings(configuration, hidden=True))
    return _shown(f"{configuration.file}: a reload of process {process}", found)


def _client(configuration: Configuration) -> ControlClient | None:
    """Return a client for the only proxy that runs with a configuration file."""
    addresses = configuration.settings.control.http
    by_default = UNIX in addresses
    if not addresses or (by_default and not _may_run(configuration.file)):
        return None
    from vcproxy.app.commands.control_client import configured_client, found_client

    try:
        if by_default:
            return found_client(None, configuration.file.resolve(), WAIT_S)
        return configured_client(configuration.file, None, WAIT_S)
    except CommandError:
        return None


def _may_run(file: Path) -> bool:
    """Whether a process with a control socket has the name of the file in its command line: most
    checks are spared the import of a client."""
    from vcproxy.app.commands.running_proxies import socket_folders

    for folder in socket_folders():
        for found in folder.glob("*.ctl.sock"):
            try:
                words = Path("/proc", found.name.partition(".")[0], "cmdline").read_bytes()
            except OSError:
                continue
            if any(Path(os.fsdecode(each)).name == file.name for each in words.split(b"\0")):
                return True
    return False


def _place(row: Mapping[str, Any]) -> Place:
    return str(row["table"]), str(row["name"]), str(row["key"])


def _lines(before: Mapping[Place, str], after: Mapping[Place, str]) -> list[str]:
    from vcproxy.listeners.differences import differences  # seldom needed

    return [str(each) for each in differences(before, after) if each.result != "unchanged"]


def _shown(what: str, lines: list[str]) -> str:
    if not lines:
        return f"{what} changes nothing"
    return "\n".join([f"{what} changes:", *(f"  {each}" for each in lines)])
