"""Command: `vcproxy log show|stat|cut|redact|to-test`, from their options to what they print."""

from __future__ import annotations

import argparse
import os
import re
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING

from vcproxy.engine.units import duration
from vcproxy.output import Exists, overwriting, refuse_existing, written
from vcproxy.replay.log.span import Span

if TYPE_CHECKING:
    from vcproxy.replay.log.conversations import Conversations
    from vcproxy.replay.log.index import LogIndex, LogPass

ABOUT = """\
Look at what --record has written, cut it, redact it, make a test of it.

  vcproxy log show LOG                                  the conversations in it
  vcproxy log show LOG --conversation 7                 what happened in one of them
  vcproxy log stat LOG                                  how large it is, and of what
  vcproxy log cut LOG --conversation 7 -o seven.log     a smaller log
  vcproxy log redact LOG --pattern 'pass=\\S+' -o safe.log
  vcproxy log to-test LOG --conversation 7 -o test_seven.py
"""

EPILOG = """\
A log that was never finished is used up to its last whole turn, and one that is broken up to there;
standard error says so. exit status: 0 done, 1 not done or only up to there, 2 the command line is
wrong.
"""

SHOW = """\
List the conversations of a log, a line for each: its number, where the client came in and from
where, the servers that were asked for, when it began (seconds since the log did) and for how long
it went on, bytes that the client has said and heard, how it ended. With --conversation: what
happened in one of them, a line for each event with the beginning of what was said.

  vcproxy log show LOG --from 1m --to 2m                what was going on in the second minute
  vcproxy log show LOG --conversation 7 --mermaid       a sequence chart, for a page in Markdown
"""

STAT = """\
Say of what a log is made: who recorded it, its turns, entries and bytes, its longest turns.
"""

CUT = """\
Write a log of some conversations alone, whole: those that are named, those that were going on at
some time, or both. It says that it is cut. With `vcproxy replay OUT --plugin FILE` it can be held
against a plugin; as it was it can be replayed only if all of it is kept.

  vcproxy log cut LOG --conversation 7,12 -o two.log
  vcproxy log cut LOG --from 10m --to 10.5m -o then.log
"""

REDACT = """\
Write a log in which all that matches is x, byte for byte: in what clients and servers said, however
it was cut into reads, and in what calls have answered. Digests of what the proxy sent are left out,
and a replay does not compare it. The configuration and the plugins stay in the log as they are. No
match may be longer than 64 KiB.

  vcproxy log redact LOG --pattern 'pass=\\S+' --pattern '(?i)authorization: .*' -o safe.log
"""

TO_TEST = """\
Write a test for pytest in which a conversation is held again, in the simulation: what the client
and the servers said is said, and each must hear what it has heard. It has been tried when it is
written: it passes with the plugin as it was, and fails where the plugin does something else.

  vcproxy log to-test LOG --conversation 7 -o test_seven.py
  python -m pytest test_seven.py
"""


class CommandFailed(Exception):
    """A command cannot be carried out, or not to its end; the text says why, for people."""


def add_to(
    commands: argparse._SubParsersAction[argparse.ArgumentParser],
) -> dict[str, argparse.ArgumentParser]:
    """Add `log` to the command line; return its parsers by their names."""
    log = commands.add_parser(
        "log",
        help="look at a recording, cut it, redact it, make a test of it",
        description=ABOUT,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    steps = log.add_subparsers(title="commands", metavar="COMMAND", required=True)

    def add(
        name: str, act: Callable[[argparse.Namespace], None], summary: str, about: str
    ) -> argparse.ArgumentParser:
        parser = steps.add_parser(
            name,
            help=summary,
            description=about,
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )
        parser.set_defaults(act=act)
        parser.add_argument("log", metavar="LOG", type=Path, help="what --record has written")
        return parser

    show = add("show", _show, "list conversations, or what happened in one", SHOW)
    _spanned(show)
    show.add_argument("--conversation", metavar="N", type=int, help="what happened in this one")
    show.add_argument("--mermaid", action="store_true", help="draw it, as a sequence chart")
    add("stat", _stat, "sizes and figures", STAT)
    cut = add("cut", _cut, "write a smaller log", CUT)
    _spanned(cut)
    cut.add_argument(
        "--conversation", metavar="N[,M]", type=_numbers, default=[], help="keep these"
    )
    redact = add("redact", _redact, "write a log without secrets", REDACT)
    redact.add_argument(
        "--pattern",
        metavar="REGEX",
        type=_pattern,
        action="append",
        required=True,
        help="what must not be in it, a regular expression on bytes; may be given again",
    )
    for parser in (cut, redact):
        parser.add_argument("-o", dest="out", metavar="OUT", type=Path, required=True, help="to")
        overwriting(parser)
    to_test = add("to-test", _to_test, "write a test of a conversation", TO_TEST)
    to_test.add_argument("--conversation", metavar="N", type=int, required=True, help="of this one")
    to_test.add_argument(
        "-o", dest="out", metavar="FILE", type=Path, help="to; standard output, if left out"
    )
    overwriting(to_test)
    return {f"log {name}": parser for name, parser in steps.choices.items()} | {"log": log}


def _spanned(parser: argparse.ArgumentParser) -> None:
    for option, name, what in (("--from", "begin", "from"), ("--to", "end", "up to")):
        parser.add_argument(
            option,
            dest=name,
            metavar="T",
            type=_time,
            default=0.0 if name == "begin" else inf,
            help=f"only what was going on {what} this time since the log began, as 90s or 1.5m",
        )


def _time(text: str) -> float:
    try:
        return float(text) if re.fullmatch(r"\d+(\.\d*)?", text) else duration(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _numbers(text: str) -> list[int]:
    try:
        return [int(each) for each in text.split(",")]
    except ValueError:
        raise argparse.ArgumentTypeError(f'"{text}" must be numbers, as 7 or 7,12') from None


def _pattern(text: str) -> re.Pattern[bytes]:
    try:
        return re.compile(text.encode())
    except re.error as error:
        raise argparse.ArgumentTypeError(f'"{text}" is no regular expression: {error}') from None


# -- the commands ----------------------------------------------------------------------------


def _show(chosen: argparse.Namespace) -> None:
    from vcproxy.replay.log.conversations import of_one
    from vcproxy.replay.log.show import listing, mermaid, timeline

    span = Span(chosen.begin, chosen.end)
    number: int | None = chosen.conversation
    if chosen.mermaid and number is None:
        raise CommandFailed("a chart of which conversation? name it with --conversation N")
    with _telling(chosen) as (telling, shown):
        if number is None:
            lines = listing(_read(telling, shown), span)
        else:
            told = (each for each in of_one(telling, number, shown) if each.told.at in span)
            lines = mermaid(told) if chosen.mermaid else timeline(told)
        for line in lines:
            print(line)


def _stat(chosen: argparse.Namespace) -> None:
    from vcproxy.replay.log.index import LogPass
    from vcproxy.replay.log.stat import stat

    with _refusals():
        reading = LogPass(chosen.log)
        with _bar(reading) as shown:
            for line in stat(reading, shown):
                print(line)
        _judge(reading)


def _cut(chosen: argparse.Namespace) -> None:
    from vcproxy.replay.log.cut import choose, cut

    span = Span(chosen.begin, chosen.end)
    if not chosen.conversation and span == Span():
        raise CommandFailed("which part of it? say --conversation N, or --from T and --to T")
    with _telling(chosen) as (telling, shown), written(chosen.out, chosen.force) as out:
        every = _read(telling, shown)
        kept = choose(every, chosen.conversation, span)
        if not kept.all:
            raise CommandFailed(f"{chosen.log}: no such conversation was going on then")
        count = f"{len(kept.all)} of {len(every.all)} conversations"
        if telling.sound and len(kept.all) == len(every.all):
            shutil.copyfile(chosen.log, out)
            out.chmod(0o600)
            print(f"{chosen.out}: {count}: it is the same log")
        else:
            cut(kept, out, shown)
            print(f"{chosen.out}: {count}")


def _redact(chosen: argparse.Namespace) -> None:
    from vcproxy.replay.log.index import LogPass
    from vcproxy.replay.log.redact import redact

    with _refusals():
        telling = _opened(chosen)
        reading: LogPass = telling
        with _bar(telling) as shown:
            conversations = _read(telling, shown).vcs()
        if not telling.sound:  # it does not replay here, or is broken: what can be read is redacted
            reading, conversations = LogPass(chosen.log), ()
        with _bar(reading) as shown, written(chosen.out, chosen.force) as out:
            count = redact(reading, chosen.pattern, conversations, out, shown)
        print(f"{chosen.out}: {count} {'match' if count == 1 else 'matches'} made x")
        _judge(reading)


def _to_test(chosen: argparse.Namespace) -> None:
    from vcproxy.testing.simulated_rerun import Unfit
    from vcproxy.testing.to_test import to_test

    with _telling(chosen) as (telling, shown):
        try:
            text = to_test(telling, chosen.conversation, chosen.out, shown)
        except Unfit as error:
            raise CommandFailed(
                f"{chosen.log}: conversation {chosen.conversation} makes no test: {error}"
            ) from None
        if chosen.out is None:
            print(text, end="")
        else:
            with written(chosen.out, chosen.force) as out:
                out.write_text(text)
            print(f"{chosen.out}: run it with: python -m pytest {chosen.out}")


@contextmanager
def _telling(chosen: argparse.Namespace) -> Iterator[tuple[LogIndex, Callable[[], None]]]:
    """A log to be retold; at the end it is said what was wrong with it."""
    with _refusals():
        telling = _opened(chosen)
        with _bar(telling) as shown:
            yield telling, shown
        _judge(telling)


def _opened(chosen: argparse.Namespace) -> LogIndex:
    """A log, by a Python with the hash seed that it was recorded with. Raises Exists."""
    from vcproxy.replay.log.index import LogIndex
    from vcproxy.replay.record.recording import with_hash_seed

    log: Path = chosen.log
    out: Path | None = getattr(chosen, "out", None)
    telling = LogIndex(log)
    if out is not None:
        if out.exists() and out.samefile(log):
            raise CommandFailed(f"{out} is the log itself: write to another file")
        refuse_existing(out, chosen.force)
    with_hash_seed(telling.log.header.hash_seed)
    return telling


@contextmanager
def _bar(reading: LogPass) -> Iterator[Callable[[], None]]:
    """Show how far it is, where that is a terminal; yields what is to be called now and then."""
    from vcproxy.replay.playback.replay import Bar

    bar = Bar(reading)
    calls = 0

    def shown() -> None:
        nonlocal calls
        calls += 1
        if not calls % Bar.EVERY:
            bar.show()

    try:
        yield shown
    finally:
        bar.clear()


def _judge(reading: LogPass) -> None:
    """Say what was wrong with a log, if anything was."""
    if not reading.sound:
        raise CommandFailed(reading.problem)
    if reading.problem:
        print(reading.problem, file=sys.stderr)


@contextmanager
def _refusals() -> Iterator[None]:
    from vcproxy.replay.format.reader import LogError
    from vcproxy.replay.log.conversations import NoConversation

    try:
        yield
    except (LogError, NoConversation, Exists) as error:
        raise CommandFailed(error) from None
    except BrokenPipeError:  # as `head` does: who reads has enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(0) from None
    except OSError as error:
        raise CommandFailed(f"{error.filename}: {error.strerror}") from None


def _read(telling: LogIndex, shown: Callable[[], None]) -> Conversations:
    """Read a log to its end."""
    from vcproxy.replay.log.conversations import Conversations

    conversations = Conversations(telling)
    for _ in conversations.happenings():
        shown()
    return conversations
