"""The command line."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

DESCRIPTION = """\
A programmable proxy: tunnels move the traffic, small state machines in Python say who may speak.

  vcproxy -c conf/proxy.toml        run in the foreground; "ready" on standard error says it runs
  vcproxy -t -c conf/proxy.toml     check a configuration: all that is wrong with it, at once
  vcproxy -T -c conf/proxy.toml     check it and print what it comes to, defaults included
"""

EPILOG = """\
signals: TERM and INT let connections end and stop (a second one stops at once), HUP reads the
configuration anew, USR1 reopens the log. exit status: 0 ended as asked, 1 could not start or the
configuration is wrong, 2 the command line is wrong.
"""


def parser() -> argparse.ArgumentParser:
    """The options; the reference documents them from here."""
    options = argparse.ArgumentParser(
        prog="vcproxy",
        usage="vcproxy [run] [-t | -T] -c FILE",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    options.add_argument("command", nargs="?", choices=["run"], help="run (the default)")
    options.add_argument(
        "-c", dest="file", metavar="FILE", type=Path, help="the configuration, a TOML file"
    )
    mode = options.add_mutually_exclusive_group()
    mode.add_argument("-t", dest="check", action="store_true", help="check it, and run nothing")
    mode.add_argument("-T", dest="show", action="store_true", help="check it, and print it")
    options.add_argument("--version", action="store_true", help="print the version")
    return options


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit status."""
    options = parser()
    chosen = options.parse_args(arguments)
    if chosen.version:
        print(f"vcproxy {_version()} (Python {sys.version.split()[0]})")
        return 0
    if chosen.file is None:
        options.error("which configuration? name it with -c, as in: vcproxy -c conf/proxy.toml")
    from vcproxy.config.problem import ConfigError

    try:
        if chosen.check or chosen.show:
            return _check(chosen.file, chosen.show)
        return _run(chosen.file)
    except ConfigError as error:
        print(error, file=sys.stderr)
        return 1


def _run(file: Path) -> int:
    from vcproxy.server import StartError, serve

    try:
        serve(file)
    except StartError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def _check(file: Path, show: bool) -> int:
    from vcproxy.config.loader import effective, load

    configuration = load(file)
    print(effective(configuration) if show else f"{file}: all is well")
    return 0


def _version() -> str:
    from importlib.metadata import version

    return version("vcproxy")


if __name__ == "__main__":
    sys.exit(main())
