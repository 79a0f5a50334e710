"""The command `vcproxy replay`: its options and its output.

Tested in tests/replay and tests/e2e/test_recording.py.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from vcproxy.app.commands.command_error import CommandError
from vcproxy.output_files import overwriting


class NoComparison(CommandError):
    """Two runs cannot be compared: exit status 2, as for `diff` and `grep`."""

    status = 2


def add_to(
    commands: argparse._SubParsersAction[argparse.ArgumentParser],
) -> dict[str, argparse.ArgumentParser]:
    """Add the command `replay` to the command line; return its parser."""
    replay = commands.add_parser(
        "replay",
        help="replay a recorded run",
        description="Replay a run that --record has recorded, from its log alone, and compare: "
        "exit status 0 only if everything is as recorded.",
    )
    replay.set_defaults(act=_replay)
    replay.add_argument("log", metavar="LOG", type=Path, help="the log that --record has written")
    replay.add_argument("--until", metavar="STEP", type=int, default=0, help="stop after this step")
    replay.add_argument(
        "--trace",
        metavar="NAME",
        default="",
        help="print the events of a machine, or of a class of machines, by its name; Machine: all",
    )
    replay.add_argument(
        "--break",
        dest="breaks",
        metavar="KEY",
        default="",
        help="call the debugger before each event with this key, for example READ_READY",
    )
    replay.add_argument(
        "--record", dest="copy", metavar="COPY", type=Path, help="record the replay itself"
    )
    overwriting(replay)
    replay.add_argument(
        "--plugin",
        metavar="PLUGIN",
        default="",
        help="what if: run the recorded clients and servers with this plugin instead, and print "
        "the differences they would see: exit status 0 none, 1 some, 2 no comparison is possible",
    )
    replay.add_argument(
        "--listener",
        metavar="NAME",
        default="",
        help="with --plugin: the listener whose plugin is replaced; optional if there is only one",
    )
    replay.add_argument(
        "--conversation",
        metavar="N",
        type=int,
        help="with --plugin: show one conversation in full, by the number of its client",
    )
    return {"replay": replay}


def _replay(chosen: argparse.Namespace) -> bool:
    if chosen.plugin:
        return _what_if(chosen)
    _replay_recorded(chosen)
    return False


def _what_if(chosen: argparse.Namespace) -> bool:
    """Replay a log with another plugin and print the differences; return whether there are any."""
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
        raise NoComparison(error) from None
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
    raise NoComparison(
        f"{chosen.log}: it has no conversation {chosen.conversation}, only {numbers}"
    )


def _replay_recorded(chosen: argparse.Namespace) -> None:
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
        raise CommandError(error) from None
    except Divergence as error:
        raise CommandError(f"{chosen.log}: {error}") from None
