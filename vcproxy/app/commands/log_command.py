"""The commands `vcproxy log show|stat|cut|redact|to-test`: their options and their output.

Tested in tests/replay/log.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING

from vcproxy.app.commands.command_error import CommandError
from vcproxy.engine.units import duration
from vcproxy.output_files import Exists, overwriting, refuse_existing, written

if TYPE_CHECKING:
    from vcproxy.replay.log.annotated import AnnotatedLog, LogPass
    from vcproxy.replay.log.conversations import Conversations

ABOUT = """\
Look at a log written by --record, cut it, redact it, write a test from it.

  vcproxy log show LOG                                  list its conversations
  vcproxy log show LOG --conversation 7                 list the events of one of them
  vcproxy log stat LOG                                  sizes and counts
  vcproxy log cut LOG --conversation 7 -o seven.log     a smaller log
  vcproxy log redact LOG --pattern 'pass=\\S+' -o safe.log
  vcproxy log to-test LOG --conversation 7 -o test_seven.py
"""

EPILOG = """\
Of a log with an incomplete last turn, all turns before it are used; of a broken log, all before the
broken place. Standard error reports both. exit status: 0 done, 1 failed or stopped at a broken
place, 2 wrong command line.
"""

SHOW = """\
List the conversations of a log, one per line, each with its number, the listener, the client's
address, the servers it was connected to, when it began (seconds since the log began) and how long
it was open, the bytes that the client sent and received, how it ended. With --conversation: the
events of one conversation, one per line, with the beginning of the data. With --sources: what the
proxy requested of its sources (child processes, datagrams, signals), and what happened there.

  vcproxy log show LOG --from 1m --to 2m                conversations open in the second minute
  vcproxy log show LOG --conversation 7 --mermaid       a sequence diagram, for a Markdown page
"""

STAT = """\
Print what a log contains: the versions that recorded it, its turns, entries and bytes, and its
longest turns.
"""

CUT = """\
Write a log of some conversations only: those with these numbers, those open at some time, or both.
Each is complete. The new log is marked as cut: it can be compared with a plugin,
`vcproxy replay OUT --plugin FILE`, but can only be replayed as recorded if nothing was left out.

  vcproxy log cut LOG --conversation 7,12 -o two.log
  vcproxy log cut LOG --from 10m --to 10.5m -o then.log
"""

REDACT = """\
Write a log in which each matching byte is replaced by x: in the data of clients and servers, also
where a match spans several reads, in results of calls, names and errors, and in the strings and
comments of the configuration and the plugins. Digests of the proxy's output are left out, and a
replay does not compare it. A match can be at most 64 KiB long.

  vcproxy log redact LOG --pattern 'pass=\\S+' --pattern '(?i)authorization: .*' -o safe.log
"""

TO_TEST = """\
Write a test for pytest that repeats a conversation in simulation: client and servers send what they
sent, and each must receive what it received. The test has passed before it is written: it passes
with the recorded plugin, and fails if the plugin behaves differently.

  vcproxy log to-test LOG --conversation 7 -o test_seven.py
  python -m pytest test_seven.py
"""


def add_to(
    commands: argparse._SubParsersAction[argparse.ArgumentParser],
) -> dict[str, argparse.ArgumentParser]:
    """Add the command `log` to the command line; return the parsers of its commands, by name."""
    log = commands.add_parser(
        "log",
        help="look at a recording, cut it, redact it, write a test from it",
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
        parser.add_argument("log", metavar="LOG", type=Path, help="a log written by --record")
        return parser

    show = add("show", _show, "list conversations, or the events of one", SHOW)
    _spanned(show)
    show.add_argument("--conversation", metavar="N", type=int, help="list the events of this one")
    show.add_argument(
        "--sources",
        action="store_true",
        help="list what happened at sources: child processes, datagrams, signals",
    )
    show.add_argument("--mermaid", action="store_true", help="print it as a sequence diagram")
    add("stat", _stat, "sizes and counts", STAT)
    cut = add("cut", _cut, "write a log of some conversations", CUT)
    _spanned(cut)
    cut.add_argument(
        "--conversation",
        metavar="N[,M]",
        type=_numbers,
        default=[],
        help="keep these conversations",
    )
    redact = add("redact", _redact, "write a log without secrets", REDACT)
    redact.add_argument(
        "--pattern",
        metavar="REGEX",
        type=_pattern,
        action="append",
        required=True,
        help="replace what matches this regular expression on bytes; may be repeated",
    )
    for parser in (cut, redact):
        parser.add_argument(
            "-o", dest="out", metavar="OUT", type=Path, required=True, help="the new log"
        )
        overwriting(parser)
    to_test = add("to-test", _to_test, "write a test from a conversation", TO_TEST)
    to_test.add_argument("--conversation", metavar="N", type=int, required=True, help="this one")
    to_test.add_argument(
        "-o", dest="out", metavar="FILE", type=Path, help="the test file; default: standard output"
    )
    overwriting(to_test)
    return {f"log {name}": parser for name, parser in steps.choices.items()} | {"log": log}


def _spanned(parser: argparse.ArgumentParser) -> None:
    for option, name, what in (("--from", "begin", "after"), ("--to", "end", "before")):
        parser.add_argument(
            option,
            dest=name,
            metavar="T",
            type=_time,
            default=0.0 if name == "begin" else inf,
            help=f"only conversations open {what} this time since the log began, as 90s or 1.5m",
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
        raise argparse.ArgumentTypeError(f'"{text}" is not a regular expression: {error}') from None


# -- the commands ----------------------------------------------------------------------------


def _show(chosen: argparse.Namespace) -> None:
    from vcproxy.replay.log.conversations import of_one
    from vcproxy.replay.log.show import listing, mermaid, source_events, timeline
    from vcproxy.replay.log.span import Span

    span = Span(chosen.begin, chosen.end)
    number: int | None = chosen.conversation
    if chosen.mermaid and number is None:
        raise CommandError("--mermaid draws one conversation: choose it with --conversation N")
    if chosen.sources and number is not None:
        raise CommandError("--sources lists those of all conversations: omit --conversation")
    with _annotated(chosen) as (annotated, progress):
        if chosen.sources:
            lines = source_events(annotated, span)
        elif number is None:
            lines = listing(_read(annotated, progress), span)
        else:
            events = (
                each for each in of_one(annotated, number, progress) if each.source.at in span
            )
            lines = mermaid(events) if chosen.mermaid else timeline(events)
        for line in lines:
            print(line)


def _stat(chosen: argparse.Namespace) -> None:
    from vcproxy.replay.log.annotated import LogPass
    from vcproxy.replay.log.stat import stat

    with _refusals():
        reading = LogPass(chosen.log)
        with _bar(reading) as progress:
            for line in stat(reading, progress):
                print(line)
        _report_problem(reading)


def _cut(chosen: argparse.Namespace) -> None:
    from vcproxy.replay.log.cut import choose, cut
    from vcproxy.replay.log.span import Span

    span = Span(chosen.begin, chosen.end)
    if not chosen.conversation and span == Span():
        raise CommandError("nothing to cut: choose with --conversation N, or --from T and --to T")
    with _annotated(chosen) as (annotated, progress), written(chosen.out, chosen.force) as out:
        every = _read(annotated, progress)
        kept = choose(every, chosen.conversation, span)
        if not kept.all:
            raise CommandError(f"{chosen.log}: no such conversation was open at that time")
        count = f"{len(kept.all)} of {len(every.all)} conversations"
        if annotated.sound and len(kept.all) == len(every.all):
            import shutil

            shutil.copyfile(chosen.log, out)
            out.chmod(0o600)
            print(f"{chosen.out}: {count}: the log is copied unchanged")
        else:
            cut(kept, out, progress)
            print(f"{chosen.out}: {count}")


def _redact(chosen: argparse.Namespace) -> None:
    from vcproxy.replay.log.annotated import LogPass
    from vcproxy.replay.log.redact import redact

    with _refusals():
        annotated = _opened(chosen)
        reading: LogPass = annotated
        with _bar(annotated) as progress:
            conversations = _read(annotated, progress).vcs()
        if not annotated.sound:  # not replayable, or broken: redact the readable part
            reading, conversations = LogPass(chosen.log), ()
        with _bar(reading) as progress, written(chosen.out, chosen.force) as out:
            count = redact(reading, chosen.pattern, conversations, out, progress)
        print(f"{chosen.out}: {count} {'match' if count == 1 else 'matches'} replaced by x")
        _report_problem(reading)


def _to_test(chosen: argparse.Namespace) -> None:
    from vcproxy.testing.recorded_conversation import NotRepeatable
    from vcproxy.testing.to_test import to_test

    with _annotated(chosen) as (annotated, progress):
        try:
            text = to_test(annotated, chosen.conversation, chosen.out, progress)
        except NotRepeatable as error:
            raise CommandError(
                f"{chosen.log}: conversation {chosen.conversation} cannot become a test: {error}"
            ) from None
        if chosen.out is None:
            print(text, end="")
        else:
            with written(chosen.out, chosen.force) as out:
                out.write_text(text)
            print(f"{chosen.out}: run it with: python -m pytest {chosen.out}")


@contextmanager
def _annotated(chosen: argparse.Namespace) -> Iterator[tuple[AnnotatedLog, Callable[[], None]]]:
    """Open a log for annotation, with a progress bar; at the end report its problem, if any."""
    with _refusals():
        annotated = _opened(chosen)
        with _bar(annotated) as progress:
            yield annotated, progress
        _report_problem(annotated)


def _opened(chosen: argparse.Namespace) -> AnnotatedLog:
    """Open a log. Restart Python if its hash seed differs from the recorded one. Raises Exists."""
    from vcproxy.replay.log.annotated import AnnotatedLog
    from vcproxy.replay.record.recording import with_hash_seed

    log: Path = chosen.log
    out: Path | None = getattr(chosen, "out", None)
    annotated = AnnotatedLog(log)
    if out is not None:
        if out.exists() and out.samefile(log):
            raise CommandError(f"{out} is the log itself: choose another file")
        refuse_existing(out, chosen.force)
    with_hash_seed(annotated.log.header.hash_seed)
    return annotated


@contextmanager
def _bar(reading: LogPass) -> Iterator[Callable[[], None]]:
    """Show a progress bar on a terminal; yield the function to call at each step."""
    from vcproxy.replay.playback.progress import LogProgress

    bar = LogProgress(reading)
    calls = 0

    def progress() -> None:
        nonlocal calls
        calls += 1
        if not calls % LogProgress.EVERY:
            bar.show()

    try:
        yield progress
    finally:
        bar.clear()


def _report_problem(reading: LogPass) -> None:
    """Print the problem of a log, if it has one. Raises CommandError if the log is not sound."""
    if not reading.sound:
        raise CommandError(reading.problem)
    if reading.problem:
        print(reading.problem, file=sys.stderr)


@contextmanager
def _refusals() -> Iterator[None]:
    from vcproxy.replay.format.reader import LogError
    from vcproxy.replay.log.conversations import NoConversation

    try:
        yield
    except (LogError, NoConversation, Exists) as error:
        raise CommandError(error) from None
    except OSError as error:
        if error.filename is None:  # standard output: see vcproxy.app.standard_output
            raise
        raise CommandError(f"{error.filename}: {error.strerror}") from None


def _read(annotated: AnnotatedLog, progress: Callable[[], None]) -> Conversations:
    """Read a log to its end; return its conversations."""
    from vcproxy.replay.log.conversations import Conversations

    conversations = Conversations(annotated)
    for _ in conversations.events():
        progress()
    return conversations
