"""The commands `vcproxy machine serve|start|stop|send|list|listen|help`: their options and output.

Tested in tests/app/commands/test_machine_command.py and tests/e2e/test_machine_command.py.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from ipaddress import ip_network
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from vcproxy.app.commands import machine_texts as texts

if TYPE_CHECKING:
    from vcproxy.supervise.exchange import Exchange

FAILURE = 255
"""The exit status of all failures, as that of the original's programs (wink.md 7)."""

PROFILES = ("wink", "readme", "patient", "legacy")


class _Parser(argparse.ArgumentParser):
    """Exits with 255 after a wrong command line, as the original."""

    def parse_known_args(  # type: ignore[override]
        self, args: Sequence[str] | None, namespace: argparse.Namespace
    ) -> tuple[argparse.Namespace, list[str]]:
        """Refuse what is unknown here: otherwise `vcproxy` itself would, with status 2."""
        chosen, unknown = super().parse_known_args(args, namespace)
        if unknown:
            self.error(f"unrecognized arguments: {' '.join(unknown)}")
        return chosen, unknown

    def error(self, message: str) -> NoReturn:
        """Print usage and error."""
        self.print_usage(sys.stderr)
        self.exit(FAILURE, f"{self.prog}: error: {message}\n")


def add_to(
    commands: argparse._SubParsersAction[argparse.ArgumentParser],
) -> dict[str, argparse.ArgumentParser]:
    """Add the command `machine` to the command line; return the parsers of its commands."""
    machine = commands.add_parser(
        "machine",
        help="run, start, stop, list machines as processes; send them messages",
        description=texts.ABOUT,
        epilog=texts.EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    machine.set_defaults(act=lambda chosen: _usage(machine))
    steps = machine.add_subparsers(title="commands", metavar="COMMAND", parser_class=_Parser)
    parsers = {"machine": machine}

    def add(
        name: str,
        act: Callable[..., int],
        summary: str,
        about: str,
        epilog: str = "",
        usage: str | None = None,
    ) -> _Parser:
        parser = steps.add_parser(
            name,
            usage=usage,
            help=summary,
            description=about,
            epilog=epilog,
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )
        parser.set_defaults(act=act)
        parsers[f"machine {name}"] = parser
        return parser

    serve = add(
        "serve", _serve, "start machines of a directory on request", texts.SERVE, texts.SERVE_EPILOG
    )
    serve.add_argument("directory", metavar="DIRECTORY", type=Path, help="the programs")
    serve.add_argument(
        "-a",
        "--address",
        default="127.0.0.1:42000",
        help="where to bind, and the host of its machines (default: 127.0.0.1:42000). Machines and "
        "clients of other programs expect port 42000",
    )
    serve.add_argument(
        "--allow",
        metavar="NETWORK",
        type=_network,
        action="append",
        default=[],
        help="answer this network, for example 10.0.0.0/24; may be repeated; needed where the "
        "address is not a loopback address",
    )
    serve.add_argument(
        "-l",
        "--logs",
        metavar="DIR",
        type=Path,
        help="write the output of each machine, and the log of the server, to a file of its own in "
        "this directory, and every 5 s to the disk",
    )
    serve.add_argument(
        "--user", metavar="NAME", help="run as this user, and its groups, once the address is bound"
    )
    _profile(serve)

    start = add(
        "start",
        _start,
        "have a server start a machine",
        texts.START,
        usage="vcproxy machine start [OPTION]... NAME [[HOST]:PORT [ARGUMENT]...]",
    )
    _address(start)
    start.add_argument(
        "-f", dest="follow", metavar="true", type=_truth, default=False, help="the same as --follow"
    )
    start.add_argument(
        "--follow", action="store_true", help="print what it reports until it has exited"
    )
    _server(start)
    _profile(start)
    start.add_argument("name", metavar="NAME", help="its name, as family/Child#Alice")
    start.add_argument(
        "words",
        metavar="[HOST]:PORT, ARGUMENT",
        nargs=argparse.REMAINDER,
        help="where to start it (default: this host, any port), and arguments for it",
    )

    stop = add("stop", _stop, "have a server stop a machine", texts.STOP)
    _address(stop)
    _server(stop)
    _profile(stop)
    stop.add_argument("machine", metavar="MACHINE", help="its address")

    send = add(
        "send",
        _send,
        "send messages to a machine",
        texts.SEND,
        usage="vcproxy machine send [OPTION]... MACHINE MESSAGE...",
    )
    _address(send)
    send.add_argument(
        "-r",
        "--replies",
        metavar="N",
        type=_count,
        default=0,
        help="wait for so many replies, however long, and print them",
    )
    _plain(send)
    _profile(send)
    send.add_argument("machine", metavar="MACHINE", help="its address, or a multicast group")
    send.add_argument(
        "messages", metavar="MESSAGE", nargs=argparse.REMAINDER, help="what to send, in this order"
    )

    listing = add("list", _list, "print the machines of a server", texts.LIST)
    _address(listing)
    _plain(listing)
    _profile(listing)
    listing.add_argument(
        "server", metavar="SERVER", nargs="?", default="127.0.0.1:42000", help="its address"
    )

    listen = add("listen", _listen, "print the messages to multicast groups", texts.LISTEN)
    _address(listen)
    _plain(listen)
    listen.add_argument("groups", metavar="GROUP", nargs="+", help="as 224.0.0.1:5000")

    helping = add(
        "help", lambda chosen: _help(chosen, parsers), "print how to use a command", texts.HELP
    )
    helping.add_argument(
        "command", metavar="COMMAND", nargs="?", default="", help="for example start"
    )
    return parsers


def _address(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "-a",
        "--address",
        default="",
        help="the own address of this command (default: any port of 127.0.0.1, or of all addresses "
        "if the receiver is on another host)",
    )


def _server(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--server",
        default="",
        metavar="ADDRESS",
        help="the server's address (default: port 42000 of the machine's host)",
    )


def _profile(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--profile",
        choices=PROFILES,
        default=PROFILES[0],
        help="when messages are repeated: wink (the default): after 2, 4, 6, 8 s; readme: after "
        "10, 20, 30 s; patient: from 50 ms on, for 48 s; legacy: never, without numbers and "
        "acknowledgements, the oldest form of the protocol",
    )


def _plain(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--plain", action="store_true", help="print the text of what arrives only, for scripts"
    )


def _network(text: str) -> str:
    try:
        return str(ip_network(text))
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{error}; write it as 10.0.0.0/24") from None


def _truth(text: str) -> bool:
    if text.lower() not in ("true", "1", "false", "0"):
        raise argparse.ArgumentTypeError(f'"{text}" is neither true nor false')
    return text.lower() in ("true", "1")


def _count(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) < 10):
        raise argparse.ArgumentTypeError(f'"{text}" is not a number')
    return int(text)


def _usage(machine: argparse.ArgumentParser) -> int:
    machine.print_help()
    return 0


def _help(chosen: argparse.Namespace, parsers: dict[str, argparse.ArgumentParser]) -> int:
    found = parsers.get(f"machine {chosen.command}".rstrip())
    if found is None:
        known = ", ".join(name.removeprefix("machine ") for name in parsers if " " in name)
        return _failed(f'"{chosen.command}" is not a command; there are {known}')
    found.print_help()
    return 0


def _failed(text: str) -> int:
    print(f"Error: {text}", file=sys.stderr)
    return FAILURE


def _serve(chosen: argparse.Namespace) -> int:
    from vcproxy.app.commands.machine_server import ServeError, serve

    try:
        return serve(
            chosen.directory,
            chosen.address,
            allow=chosen.allow,
            logs=chosen.logs,
            user=chosen.user,
            profile=chosen.profile,
        )
    except ServeError as error:
        return _failed(str(error))


def _start(chosen: argparse.Namespace) -> int:
    from vcproxy.supervise.exchange import StartExchange

    where, *arguments = chosen.words or [":0"]
    split = next((each for each in (chosen.name, *arguments) if each.split() != [each]), None)
    if split is not None:
        return _failed(f'"{split}": names and arguments are words: not empty, without white space')

    def exchange(resolve: Resolve) -> Exchange:
        host, port = resolve(where, 0)
        server = resolve(chosen.server, 42_000) if chosen.server else (host, 42_000)
        return StartExchange(server, chosen.name, port, tuple(arguments), chosen.follow)

    return _talk(chosen, exchange)


def _stop(chosen: argparse.Namespace) -> int:
    from vcproxy.supervise.exchange import StopExchange

    def exchange(resolve: Resolve) -> Exchange:
        host, port = resolve(chosen.machine, None)
        server = resolve(chosen.server, 42_000) if chosen.server else (host, 42_000)
        return StopExchange(server, port)

    return _talk(chosen, exchange)


def _send(chosen: argparse.Namespace) -> int:
    from vcproxy.supervise.exchange import SendExchange

    if not chosen.messages:
        return _failed("there is no message: write it after the address of the machine")

    def exchange(resolve: Resolve) -> Exchange:
        machine = resolve(chosen.machine, None)
        return SendExchange(machine, tuple(chosen.messages), chosen.replies)

    return _talk(chosen, exchange)


def _list(chosen: argparse.Namespace) -> int:
    from vcproxy.supervise.exchange import ListExchange

    return _talk(chosen, lambda resolve: ListExchange(resolve(chosen.server, 42_000)))


def _listen(chosen: argparse.Namespace) -> int:
    from vcproxy.supervise.exchange import ListenExchange

    chosen.profile = PROFILES[0]
    return _talk(chosen, lambda resolve: ListenExchange(), chosen.groups)


Resolve = Callable[[str, int | None], tuple[str, int]]
"""`resolve` of vcproxy.app.commands.machine_client."""


def _talk(
    chosen: argparse.Namespace,
    exchange: Callable[[Resolve], Exchange],
    groups: list[str] | None = None,
) -> int:
    from vcproxy.app.commands.machine_client import ClientError, resolve, talk

    try:
        outcome = talk(
            exchange(resolve),
            chosen.address,
            groups=[resolve(group, None) for group in groups or ()],
            plain=getattr(chosen, "plain", False),
            profile=chosen.profile,
        )
    except ClientError as error:
        return _failed(str(error))
    if outcome.error:
        return _failed(outcome.error)
    return outcome.status
