"""The command line. Tested in tests/e2e/test_command_line.py, tests/app/test_plugin_command.py."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from vcproxy.app import garbage
from vcproxy.app.commands.command_error import CommandError
from vcproxy.app.standard_output import writes_standard_output
from vcproxy.output_files import overwriting

DESCRIPTION = """\
A programmable proxy: tunnels move the traffic, and small state machines in Python control them.

  vcproxy -c conf/proxy.toml        run in the foreground; "ready" on standard error: it runs
  vcproxy -t -c conf/proxy.toml     check a configuration; print every error at once
  vcproxy -T -c conf/proxy.toml     check it and print it with all defaults
  vcproxy ctl show                  ask the proxy that runs
  vcproxy diagram forward           draw the state machine of a plugin, or a configuration
  vcproxy plugin new orders         write a new plugin and its test
"""

EPILOG = """\
signals: TERM and INT drain connections and stop (a second one stops at once), HUP reloads the
configuration, USR1 reopens the log. exit status: 0 stopped by a signal or done, 1 could not start,
or an error in the configuration, 2 an error in the command line, 3 too many failures of workers,
or of supervised programs, 141 the reader of its output has gone (as with `| head`).
"""


_WITH_VALUE = ("-c", "--against", "--trace", "--record")
_WITHOUT_VALUE = ("-t", "-T", "--warnings-fatal", "--version")
"""The options of a start."""


def parsers() -> dict[str, argparse.ArgumentParser]:
    """Return the parsers of the commands by name; "" is the parser of the whole command line.

    The reference of the command line is generated from them.
    """
    from vcproxy.app.commands import (  # a proxy that is started needs none of them
        check_certificate_command,
        completion_command,
        ctl_command,
        diagram_command,
        log_command,
        machine_command,
        replay_command,
        schema_command,
        signal_command,
        stop_process_command,
        top_command,
    )

    options = _options()
    commands = options.add_subparsers(prog="vcproxy", title="commands", metavar="COMMAND")
    run = commands.add_parser(
        "run",
        help="run in the foreground (the default)",
        description="Run a configuration in the foreground.",
        argument_default=argparse.SUPPRESS,  # options may also precede the command
    )
    _configured(run)
    plugin = commands.add_parser(
        "plugin",
        help="write a new plugin, or check one",
        description="Write a new plugin, or check one.",
    )
    steps = plugin.add_subparsers(title="commands", metavar="COMMAND", required=True)
    new = steps.add_parser(
        "new",
        help="write NAME.py and its test",
        description="Write NAME.py and its test test_NAME.py into the current directory.",
    )
    new.set_defaults(act=_plugin_new)
    overwriting(new)
    new.add_argument("name", metavar="NAME", help="the name of the module, for example order_check")
    new.add_argument(
        "--template",
        "--kind",
        choices=[
            "session",
            "validator",
            "splitter",
            "modbus-like",
            "relay",
            "filter",
            "program",
        ],
        default="session",
        help="what it begins as: session (the default): reads a message and starts a tunnel; "
        "validator: accepts or rejects messages; splitter: shares a server connection among "
        "clients; modbus-like: a splitter for a device that takes one request at a time; relay: "
        "sends one stream to many consumers, and edits it; filter: changes requests and responses "
        "of an HTTP proxy; program: one object for events of all kinds, here new files, and "
        "messages of the bus",
    )
    check = steps.add_parser(
        "check",
        help="load a plugin as the proxy would",
        description="Load a plugin as the proxy does; print its properties, or its errors.",
    )
    check.set_defaults(act=_plugin_check)
    check.add_argument(
        "plugin", metavar="PLUGIN", help='"file.py", "file.py:Class", or a name as in a listener'
    )
    return {
        "": options,
        "run": run,
        **diagram_command.add_to(commands),
        "plugin new": new,
        "plugin check": check,
        **replay_command.add_to(commands),
        **log_command.add_to(commands),
        **machine_command.add_to(commands),
        **ctl_command.add_to(commands),
        **top_command.add_to(commands),
        **signal_command.add_to(commands),
        **stop_process_command.add_to(commands),
        **check_certificate_command.add_to(commands),
        **schema_command.add_to(commands),
        **completion_command.add_to(commands, parsers),
    }


def _options() -> argparse.ArgumentParser:
    """Return the parser of the options without a command."""
    options = argparse.ArgumentParser(
        prog="vcproxy",
        usage="vcproxy [run] [-t | -T | --trace NAME] -c FILE\n       vcproxy COMMAND ...",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    options.set_defaults(act=_run)
    _configured(options)
    options.add_argument("--version", action="store_true", help="print the version")
    return options


def parser() -> argparse.ArgumentParser:
    """Return the parser of the whole command line."""
    return parsers()[""]


def _starts_only(arguments: Sequence[str]) -> bool:
    """Whether a command line is that of a start, as `-c FILE`: it needs no other parsers, which
    take 5 % of the time to start (measured)."""
    rest = iter(arguments)
    for each in rest:
        if each in _WITH_VALUE:
            if next(rest, "-").startswith("-"):
                return False
        elif each not in _WITHOUT_VALUE:
            return False
    return True


def _configured(options: argparse.ArgumentParser) -> None:
    """Add the options for a configuration file."""
    options.add_argument(
        "-c", dest="file", metavar="FILE", type=Path, help="the configuration, a TOML file"
    )
    mode = options.add_mutually_exclusive_group()
    mode.add_argument("-t", dest="check", action="store_true", help="check it only")
    mode.add_argument(
        "-T", dest="show", action="store_true", help="check it, and print it with all defaults"
    )
    options.add_argument(
        "--warnings-fatal",
        action="store_true",
        help="with -t or -T: a configuration with warnings is an error, status 1",
    )
    options.add_argument(
        "--against",
        metavar="OLD",
        type=Path,
        help="with -t: what changes if FILE takes the place of OLD; without it, -t prints what a "
        "reload would change in the proxy that runs with FILE",
    )
    options.add_argument(
        "--trace",
        metavar="NAME",
        help="log the events of a machine, or of a class of machines, by its name; Machine: all",
    )
    options.add_argument(
        "--record",
        metavar="LOG",
        type=Path,
        help="record all input of the run, for `vcproxy replay LOG`; if LOG exists, LOG.1, "
        "LOG.2 and so on is written",
    )


@writes_standard_output
def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit status."""
    words = sys.argv[1:] if arguments is None else arguments
    options = _options() if _starts_only(words) else parser()
    chosen = options.parse_args(words)
    if chosen.version:
        print(f"vcproxy {_version()} (Python {sys.version.split()[0]})")
        return 0
    if chosen.act is _run and chosen.file is None:
        options.error(
            "a configuration is required: name it with -c, as in: vcproxy -c conf/proxy.toml"
        )
    starts = chosen.act is _run and not (chosen.check or chosen.show)
    if starts and (chosen.against is not None or chosen.warnings_fatal):
        options.error("--against and --warnings-fatal are for a check: add -t")
    try:
        status = chosen.act(chosen)
    except CommandError as error:
        print(error, file=sys.stderr)
        return error.status
    return int(status or 0)


def _run(chosen: argparse.Namespace) -> int:
    garbage.postpone()
    from vcproxy.config.errors import ConfigError

    try:
        if chosen.check or chosen.show:
            return _check(chosen)
        return _serve(chosen.file, chosen.trace, chosen.record)
    except ConfigError as error:
        for warning in error.warnings:
            print(warning.as_warning(), file=sys.stderr)
        raise CommandError(error) from None


def _serve(file: Path, trace: str | None, record: Path | None) -> int:
    if os.getpid() == 1:  # of a container
        from vcproxy.app.init_process import run_as_init

        status = run_as_init()
        if status is not None:
            return status
    from vcproxy.app.serve import serve
    from vcproxy.app.start import StartError

    try:
        return serve(file, trace, record)
    except StartError as error:
        raise CommandError(error) from None


def _check(chosen: argparse.Namespace) -> int:
    """Check a configuration and print it, or that it is valid; return the exit status."""
    from vcproxy.config.loader import load
    from vcproxy.config.notes import notes

    file: Path = chosen.file
    configuration = load(file)
    if configuration.settings.control.messages:
        from vcproxy.app.message_definitions import load_definitions

        load_definitions(configuration)
    for warning in configuration.warnings:
        print(warning.as_warning(), file=sys.stderr)
    if configuration.warnings and chosen.warnings_fatal:
        return 1
    if chosen.show:
        from vcproxy.config.effective import effective

        print(effective(configuration))
    else:
        print(f"{file}: the configuration is valid")
        from vcproxy.app.commands.reload_preview import beside_file, beside_running

        changes = (
            beside_running(configuration)
            if chosen.against is None
            else beside_file(configuration, chosen.against)
        )
        if changes:
            print(changes)
    for about, note in notes(configuration):
        print(f"{file}: {about}: note: {note}", file=sys.stderr)
    return 0


def _plugin_new(chosen: argparse.Namespace) -> None:
    from vcproxy.app.commands.scaffold import new
    from vcproxy.config.plugin_loader import PluginError

    try:
        plugin, test = new(chosen.name, chosen.template, Path(), chosen.force)
    except PluginError as error:
        raise CommandError(error) from None
    print(f"wrote {plugin} and its test {test}")


def _plugin_check(chosen: argparse.Namespace) -> None:
    from vcproxy.app.commands.inspection import inspect_plugin
    from vcproxy.config.plugin_loader import PluginError

    try:
        print(inspect_plugin(chosen.plugin), end="")
    except PluginError as error:
        raise CommandError(error) from None


def _version() -> str:
    from importlib.metadata import version

    return version("vcproxy")


if __name__ == "__main__":
    sys.exit(main())
