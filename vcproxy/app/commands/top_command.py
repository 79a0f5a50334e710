"""The command `vcproxy top`: what a running proxy does, live, in a terminal.

Tested in tests/app/commands/test_top_command.py and tests/e2e/test_top.py.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
from collections.abc import Callable
from time import monotonic, sleep
from typing import TYPE_CHECKING, Any, Final

from vcproxy.app.commands.argument_types import some_seconds
from vcproxy.app.commands.command_error import CommandError
from vcproxy.app.commands.ctl_command import add_proxy_options, client_of

if TYPE_CHECKING:
    from vcproxy.app.commands.control_client import ControlClient
    from vcproxy.app.commands.top_view import TopView
    from vcproxy.control.dashboard.picture import Picture
    from vcproxy.control.dashboard.samples import Sample

ABOUT = """\
Show what a running proxy does, live: its listeners, servers and sinks, with their rates, states and
lag, and what needs attention.

  vcproxy top                       the only proxy that runs on this host
  vcproxy top --pid 4711            one of several
  vcproxy top --once                print it once, for example into a mail
  vcproxy top --json                one line of JSON each interval, for other programs
"""

EPILOG = """\
keys: q or Ctrl-C quit, s sort by rate, by state, or as in the configuration, left and right choose
listeners, servers or sinks, up and down scroll, / show only names with a text, Esc all again,
p pause.

exit status: 0 done, 1 the proxy has refused a question, 2 wrong command line, or no terminal,
3 nothing runs there, or it has ended, 4 several proxies run.
"""

INTERVAL_S: Final = 1.0


class NoTerminal(CommandError):
    """There is no terminal, or a library is missing."""

    status = 2


def add_to(
    commands: argparse._SubParsersAction[argparse.ArgumentParser],
) -> dict[str, argparse.ArgumentParser]:
    """Add the command `top` to the command line; return its parser."""
    parser = commands.add_parser(
        "top",
        help="show what a running proxy does, live",
        usage="vcproxy top [OPTION]...",
        description=ABOUT,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.set_defaults(act=_top)
    add_proxy_options(parser, None)
    parser.add_argument("--once", action="store_true", help="print one screen, and end")
    parser.add_argument(
        "--interval",
        metavar="TIME",
        type=some_seconds,
        default=INTERVAL_S,
        help=f"how often it is asked, as 5s (default: {INTERVAL_S:g}s)",
    )
    return {"top": parser}


def _top(chosen: argparse.Namespace) -> int:
    client = client_of(chosen)
    if chosen.json:
        return _json(client, chosen)
    _require_rich()
    if chosen.once:
        return _once(client, chosen)
    if not (sys.stdin.isatty() and sys.stdout.isatty()) or os.environ.get("TERM") == "dumb":
        raise NoTerminal(
            "there is no terminal here: --once prints one screen, --json prints the figures"
        )
    return _live(client, chosen)


def _require_rich() -> None:
    try:
        import rich  # noqa: F401
    except ImportError:
        raise NoTerminal(
            "vcproxy top needs a library, and --json does without it: pip install rich"
        ) from None


def take_sample(client: ControlClient) -> Sample:
    """Ask a proxy all that the picture is made of. Raises CommandError."""
    from vcproxy.control.dashboard.samples import QUESTIONS, Sample

    rows: dict[str, list[dict[str, Any]]] = {}
    missing: list[str] = []
    for question in QUESTIONS:
        answer = client.get(f"show/{question}")
        rows[question] = answer["rows"]
        missing += answer["missing"]
    return Sample(monotonic(), rows, list(dict.fromkeys(missing)))


def _two(client: ControlClient, interval_s: float) -> tuple[Picture, Sample]:
    """Return a picture with the rates of an interval, and its sample."""
    from vcproxy.control.dashboard.picture import picture

    before = take_sample(client)
    sleep(interval_s)
    now = take_sample(client)
    return picture(before, now), now


def _json(client: ControlClient, chosen: argparse.Namespace) -> int:
    from vcproxy.control.dashboard.picture import picture

    drawn, before = _two(client, chosen.interval)
    while True:
        print(json.dumps(drawn.to_json()), flush=True)
        if chosen.once:
            return 0
        sleep(chosen.interval)
        now = take_sample(client)
        drawn, before = picture(before, now), now


def _once(client: ControlClient, chosen: argparse.Namespace) -> int:
    from rich.console import Console

    from vcproxy.app.commands.top_screen import screen
    from vcproxy.app.commands.top_view import TopView

    drawn, _ = _two(client, chosen.interval)
    view = TopView()
    view.seen(drawn)
    width = shutil.get_terminal_size().columns
    console = Console(width=width, highlight=False)
    console.print(screen(drawn, view, width, 0, plain=_plain()))
    return 0


def _live(client: ControlClient, chosen: argparse.Namespace) -> int:
    from rich.console import Console
    from rich.live import Live

    from vcproxy.app.commands.terminal_keys import TerminalKeys
    from vcproxy.app.commands.top_screen import screen
    from vcproxy.app.commands.top_view import TopView
    from vcproxy.control.dashboard.picture import picture

    view, console, plain = TopView(), Console(highlight=False), _plain()

    def show() -> None:
        width, height = console.size
        live.update(screen(drawn, view, width, height, plain=plain), refresh=True)

    before: Sample | None = None
    try:
        with (
            TerminalKeys(sys.stdin.fileno()) as keys,
            Live(console=console, screen=True, auto_refresh=False) as live,
        ):
            while not view.ended:
                if not view.paused or before is None:
                    now = take_sample(client)
                    drawn, before = picture(before, now), now
                    view.seen(drawn)
                show()
                _wait(keys.read, view, chosen.interval, show)
    except KeyboardInterrupt:
        pass
    return 0


def _wait(
    read: Callable[[float], list[str]], view: TopView, seconds: float, show: Callable[[], None]
) -> None:
    """Handle keys for a time."""
    end = monotonic() + seconds
    while not view.ended and (left := end - monotonic()) > 0.0:
        pressed = read(left)
        for key in pressed:
            view.pressed(key)
        if pressed:
            show()


def _plain() -> bool:
    """Whether the output takes ASCII only."""
    try:
        "\N{BLACK CIRCLE}".encode(sys.stdout.encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return True
    return False
