"""The command line."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from vcproxy.app import log_command as log
from vcproxy.output import overwriting

DESCRIPTION = """\
A programmable proxy: tunnels move the traffic, small state machines in Python say who may speak.

  vcproxy -c conf/proxy.toml        run in the foreground; "ready" on standard error says it runs
  vcproxy -t -c conf/proxy.toml     check a configuration: all that is wrong with it, at once
  vcproxy -T -c conf/proxy.toml     check it and print what it comes to, defaults included
  vcproxy diagram forward           draw the state machine of a plugin
  vcproxy plugin new orders         write a plugin of your own, and its test
"""

EPILOG = """\
signals: TERM and INT let connections end and stop (a second one stops at once), HUP reads the
configuration anew, USR1 reopens the log. exit status: 0 ended as asked, 1 could not start or the
configuration is wrong, 2 the command line is wrong.
"""


def parsers() -> dict[str, argparse.ArgumentParser]:
    """The whole command line under "", and its commands: the reference documents them from here."""
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
    commands = options.add_subparsers(prog="vcproxy", title="commands", metavar="COMMAND")
    run = commands.add_parser(
        "run",
        help="run in the foreground (the default)",
        description="Run a configuration in the foreground.",
        argument_default=argparse.SUPPRESS,  # what stands before the command holds as well
    )
    _configured(run)
    diagram = commands.add_parser(
        "diagram",
        help="draw the state machines of a plugin",
        description="Draw the state machines of a plugin, as they are declared.",
    )
    diagram.set_defaults(act=_diagram)
    diagram.add_argument(
        "plugin",
        metavar="PLUGIN",
        help='a bundled plugin, "package.module:Class" or "file.py:Class"; the class may be any '
        "machine, as vcproxy.tunnels.two_way:TwoWayTunnel",
    )
    diagram.add_argument(
        "--format",
        choices=["mermaid", "dot", "svg"],
        default="mermaid",
        help="mermaid (the default), dot, or svg, for which Graphviz must be installed",
    )
    plugin = commands.add_parser(
        "plugin", help="begin a plugin, or check one", description="Begin a plugin, or check one."
    )
    steps = plugin.add_subparsers(title="commands", metavar="COMMAND", required=True)
    new = steps.add_parser(
        "new",
        help="write NAME.py and its test",
        description="Write NAME.py and test_NAME.py, which passes, here.",
    )
    new.set_defaults(act=_plugin_new)
    overwriting(new)
    new.add_argument("name", metavar="NAME", help="the name of the module, as order_check")
    new.add_argument(
        "--kind",
        choices=["session", "validator", "splitter", "filter"],
        default="session",
        help="what it is: a session (the default), which hears its client and lends it to a "
        "tunnel; a validator, which judges messages; a splitter, which shares a server; "
        "a filter, which changes requests and answers of an HTTP proxy",
    )
    check = steps.add_parser(
        "check",
        help="load a plugin as the proxy would",
        description="Load a plugin as the proxy would; print what it is, or what is wrong with it.",
    )
    check.set_defaults(act=_plugin_check)
    check.add_argument(
        "plugin", metavar="PLUGIN", help='"file.py", "file.py:Class", or as a listener names it'
    )
    replay = commands.add_parser(
        "replay",
        help="run again what was recorded",
        description="Run again what --record wrote down, from the log alone, and compare: exit "
        "status 0 only if all is as it was.",
    )
    replay.set_defaults(act=_replay)
    replay.add_argument("log", metavar="LOG", type=Path, help="what --record has written")
    replay.add_argument("--until", metavar="STEP", type=int, default=0, help="stop after a step")
    replay.add_argument(
        "--trace",
        metavar="NAME",
        default="",
        help="print what a machine receives, or a class of machines, by its name; Machine: all",
    )
    replay.add_argument(
        "--break",
        dest="breaks",
        metavar="KEY",
        default="",
        help="call the debugger before an event of this key is delivered, as READ_READY",
    )
    replay.add_argument(
        "--record", dest="copy", metavar="COPY", type=Path, help="record the replay itself"
    )
    overwriting(replay)
    replay.add_argument(
        "--plugin",
        metavar="PLUGIN",
        default="",
        help="instead: what if this plugin had been there? play the recorded clients and servers "
        "with it and say what they would see otherwise: exit status 0 nothing, 1 something, "
        "2 it cannot be told",
    )
    replay.add_argument(
        "--listener",
        metavar="NAME",
        default="",
        help="with --plugin: whose plugin it replaces; may be left out if there is only one",
    )
    replay.add_argument(
        "--conversation",
        metavar="N",
        type=int,
        help="with --plugin: show one conversation in full, by its client's number",
    )
    logs = log.add_to(commands)
    return {
        "": options,
        "run": run,
        "diagram": diagram,
        "plugin new": new,
        "plugin check": check,
        "replay": replay,
        **logs,
    }


def parser() -> argparse.ArgumentParser:
    """The parser of the whole command line."""
    return parsers()[""]


def _configured(options: argparse.ArgumentParser) -> None:
    """Add what goes with a configuration file."""
    options.add_argument(
        "-c", dest="file", metavar="FILE", type=Path, help="the configuration, a TOML file"
    )
    mode = options.add_mutually_exclusive_group()
    mode.add_argument("-t", dest="check", action="store_true", help="check it, and run nothing")
    mode.add_argument("-T", dest="show", action="store_true", help="check it, and print it")
    options.add_argument(
        "--trace",
        metavar="NAME",
        help="log what a machine receives, or a class of machines, by its name; Machine: all",
    )
    options.add_argument(
        "--record",
        metavar="LOG",
        type=Path,
        help="write down all that comes from outside, so that `vcproxy replay LOG` can run it "
        "again; if LOG exists, it is kept, and LOG.1, LOG.2 and so on is written",
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit status."""
    options = parser()
    chosen = options.parse_args(arguments)
    if chosen.version:
        print(f"vcproxy {_version()} (Python {sys.version.split()[0]})")
        return 0
    if chosen.act is _run and chosen.file is None:
        options.error("which configuration? name it with -c, as in: vcproxy -c conf/proxy.toml")
    try:
        status = chosen.act(chosen)
    except log.CommandFailed as error:
        print(error, file=sys.stderr)
        return 1
    except Refusal as error:
        print(error, file=sys.stderr)
        return error.status
    return 1 if status else 0


class Refusal(Exception):
    """What was asked for cannot be done; the text says why, for people."""

    status = 1
    """The exit status."""


class Untold(Refusal):
    """Whether there is a difference cannot be told: as `diff` and `grep` have it."""

    status = 2


def _run(chosen: argparse.Namespace) -> None:
    from vcproxy.config.errors import ConfigError

    try:
        if chosen.check or chosen.show:
            _check(chosen.file, chosen.show)
        else:
            _serve(chosen.file, chosen.trace, chosen.record)
    except ConfigError as error:
        raise Refusal(error) from None


def _serve(file: Path, trace: str | None, record: Path | None) -> None:
    from vcproxy.app.server import StartError, serve

    try:
        serve(file, trace, record)
    except StartError as error:
        raise Refusal(error) from None


def _check(file: Path, show: bool) -> None:
    from vcproxy.config.effective import effective
    from vcproxy.config.loader import load
    from vcproxy.config.notes import notes

    configuration = load(file)
    print(effective(configuration) if show else f"{file}: all is well")
    for about, note in notes(configuration):
        print(f"{file}: {about}: note: {note}", file=sys.stderr)


def _diagram(chosen: argparse.Namespace) -> None:
    from vcproxy.config.plugin_loader import PluginError, PluginLoader
    from vcproxy.machine import diagram
    from vcproxy.machine.machine import Machine

    try:
        found = PluginLoader().named(chosen.plugin)
    except PluginError as error:
        raise Refusal(f"{chosen.plugin}: {error}") from None
    drawn: tuple[type[Machine], ...] = getattr(found, "machines", ())
    if isinstance(found, type) and issubclass(found, Machine) and found.states:
        drawn = (found,)
    if not drawn:
        raise Refusal(f"{chosen.plugin}: there is no machine with states to draw")
    if chosen.format == "mermaid":
        print(diagram.mermaid(*drawn), end="")
    else:
        text = diagram.dot(*drawn)
        print(text if chosen.format == "dot" else _svg(text), end="")


def _svg(text: str) -> str:
    import subprocess

    try:
        done = subprocess.run(
            ["dot", "-Tsvg"], input=text, capture_output=True, text=True, check=False
        )
    except FileNotFoundError:
        raise Refusal(
            "SVG is drawn by `dot`, a program of Graphviz, and it is not installed: "
            "install graphviz, or ask for --format mermaid"
        ) from None
    if done.returncode:
        raise Refusal(f"dot failed: {done.stderr.strip()}")
    return done.stdout


def _plugin_new(chosen: argparse.Namespace) -> None:
    from vcproxy.app.scaffold import new
    from vcproxy.config.plugin_loader import PluginError

    try:
        plugin, test = new(chosen.name, chosen.kind, Path(), chosen.force)
    except PluginError as error:
        raise Refusal(error) from None
    print(f"{plugin}, and {test} that tests it")


def _plugin_check(chosen: argparse.Namespace) -> None:
    from vcproxy.app.inspection import inspect_plugin
    from vcproxy.config.plugin_loader import PluginError

    try:
        print(inspect_plugin(chosen.plugin), end="")
    except PluginError as error:
        raise Refusal(error) from None


def _replay(chosen: argparse.Namespace) -> bool:
    if chosen.plugin:
        return _what_if(chosen)
    _replay_as_it_was(chosen)
    return False


def _what_if(chosen: argparse.Namespace) -> bool:
    """Say what another plugin changes; return whether it changes anything."""
    from vcproxy.drivers.sim import Stuck
    from vcproxy.replay.playback.progress import ProgressBar
    from vcproxy.replay.playback.replay import LogError, RecordingLog, differences
    from vcproxy.replay.record.recording import with_hash_seed
    from vcproxy.replay.what_if.comparison import compare
    from vcproxy.replay.what_if.report import in_full, table
    from vcproxy.replay.what_if.substitution import NotSubstituted

    bar = ProgressBar()
    try:
        log = RecordingLog(chosen.log)
        with_hash_seed(log.header.hash_seed)
        compared = compare(chosen.log, chosen.plugin, chosen.listener, bar.draw)
    except (LogError, NotSubstituted, OSError, Stuck) as error:
        raise Untold(error) from None
    finally:
        bar.clear()
    for note in (*(f"{chosen.log}: {each}" for each in differences(log)), *compared.notes):
        print(note, file=sys.stderr)
    if chosen.conversation is None:
        print(table(compared))
        return compared.differs
    for conversation in compared.conversations:
        if conversation.number == chosen.conversation:
            print(in_full(conversation))
            return conversation.differs
    numbers = ", ".join(str(each.number) for each in compared.conversations) or "none"
    raise Untold(
        f"{chosen.log}: there is no conversation {chosen.conversation}: there are {numbers}"
    )


def _replay_as_it_was(chosen: argparse.Namespace) -> None:
    from vcproxy.replay.playback.replay import Divergence, LogError, RecordingLog, replay
    from vcproxy.replay.record.recording import with_hash_seed

    try:
        with_hash_seed(RecordingLog(chosen.log).header.hash_seed)
        print(
            replay(
                chosen.log,
                until=chosen.until,
                trace=chosen.trace,
                breaks=chosen.breaks,
                copy=chosen.copy,
                force=chosen.force,
            )
        )
    except LogError as error:
        raise Refusal(error) from None
    except Divergence as error:
        raise Refusal(f"{chosen.log}: {error}") from None


def _version() -> str:
    from importlib.metadata import version

    return version("vcproxy")


if __name__ == "__main__":
    sys.exit(main())
