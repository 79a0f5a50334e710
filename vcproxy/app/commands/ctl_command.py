"""The command `vcproxy ctl`: ask a running proxy, and change what it does.

Tested in tests/app/commands/test_ctl_command.py and tests/e2e/test_ctl.py.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from vcproxy.app.commands import ctl_texts as texts
from vcproxy.app.commands.argument_types import some_seconds

if TYPE_CHECKING:
    from vcproxy.app.commands.control_client import ControlClient

INCOMPLETE: Final = 5
"""The exit status where a part of the proxy has not answered."""

Act = Callable[[argparse.Namespace], int]


def add_to(
    commands: argparse._SubParsersAction[argparse.ArgumentParser],
) -> dict[str, argparse.ArgumentParser]:
    """Add the command `ctl` to the command line; return the parsers of its commands."""
    ctl = commands.add_parser(
        "ctl",
        help="ask a running proxy, and change what it does",
        usage="vcproxy ctl [OPTION]... COMMAND ...",
        description=texts.ABOUT,
        epilog=texts.EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    ctl.set_defaults(act=lambda chosen: _usage(ctl))
    add_proxy_options(ctl, None)
    steps = ctl.add_subparsers(prog="vcproxy ctl", title="commands", metavar="COMMAND")
    parsers = {"ctl": ctl}

    def add(name: str, act: Act, summary: str, about: str) -> argparse.ArgumentParser:
        parser = steps.add_parser(
            name,
            help=summary,
            description=about,
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )
        parser.set_defaults(act=act)
        add_proxy_options(parser, argparse.SUPPRESS)  # options may also precede the command
        parsers[f"ctl {name}"] = parser
        return parser

    show = add("show", _show, "print what it answers to a question", texts.SHOW)
    show.add_argument("question", metavar="QUESTION", nargs="?", help="as listeners or conns")
    show.add_argument(
        "filters",
        metavar="COLUMN=VALUE",
        nargs="*",
        help="the rows that are wanted; limit=N: at most so many",
    )
    show.add_argument(
        "--columns", metavar="NAME,NAME", default="", help="the columns that are wanted, in order"
    )
    show.add_argument("--all", action="store_true", help="all columns, however wide the table gets")
    show.add_argument(
        "--sort", metavar="COLUMN", default="", help="sort by a column, large numbers first"
    )
    show.add_argument("--reverse", action="store_true", help="in the reverse order")
    show.add_argument(
        "--help-columns", action="store_true", help="explain the columns, and ask nothing"
    )

    server = add("server", _server, "change the state or weight of a server", texts.SERVER)
    server.add_argument("name", metavar="NAME", help="[UPSTREAM/]ADDRESS")
    states = ["ready", "drain", "maint", "weight"]
    server.add_argument("change", metavar="|".join(states), choices=states)
    server.add_argument("weight", metavar="N", nargs="?", help="the weight: 0 to 256")
    server.set_defaults(parser=server)

    kill = add("kill", _sending("KILL", "conn"), "close a connection", texts.KILL)
    kill.add_argument("conn", metavar="CONN", help="its id, or its name in log lines")
    drain = add("drain", _drain, "accept no more connections", texts.DRAIN)
    drain.add_argument("listener", metavar="LISTENER", help="its name, or all")
    add("reload", _sending("RELOAD"), "load the configuration again", texts.RELOAD)
    add("restart", _sending("RESTART"), "replace the workers one by one", texts.RESTART)
    add("rotate", _sending("LOG_ROTATE"), "reopen the logs after they were moved", texts.ROTATE)
    level = add("log-level", _sending("LOG_LEVEL", "level"), "what is logged", texts.LOG_LEVEL)
    level.add_argument("level", choices=["debug", "info", "warning", "error"])
    trace = add("trace", _trace, "print the events of one connection", texts.TRACE)
    trace.add_argument("conn", metavar="CONN", help="its id")
    add("status", _sending("STATUS"), "print the state of the proxy", texts.STATUS)
    add("dashboard", _dashboard, "print an address for the browser", texts.DASHBOARD)
    stop = add("stop", _stop, "end the proxy in order", texts.STOP)
    stop.add_argument(
        "--at-once", action="store_true", help="do not wait for what has begun: it is cut off"
    )
    return parsers


def add_proxy_options(parser: argparse.ArgumentParser, default: Any) -> None:
    """Add the options about which proxy is meant, and --json. `default`: of all but --json."""
    parser.add_argument(
        "--pid", type=int, default=default, help="the process of the proxy, if several run"
    )
    parser.add_argument(
        "--at",
        metavar="ADDRESS",
        default=default,
        help="its address in [control] http: unix:PATH, or tcp://127.0.0.1:PORT with its token",
    )
    parser.add_argument(
        "-c",
        dest="configuration",
        metavar="FILE",
        type=Path,
        default=default,
        help="the proxy that has this configuration",
    )
    parser.add_argument(
        "--token-file",
        metavar="FILE",
        type=Path,
        default=default,
        help="the token for tcp:// (default: the only one that a proxy of this user has made)",
    )
    parser.add_argument(
        "--timeout",
        metavar="TIME",
        type=some_seconds,
        default=default,
        help="how long the answer may take: 5s, or a number of seconds (default: 100s)",
    )
    quiet = default if default is argparse.SUPPRESS else False
    parser.add_argument(
        "--json", action="store_true", default=quiet, help="print the answer as JSON"
    )


def _usage(parser: argparse.ArgumentParser) -> int:
    parser.print_usage(sys.stderr)
    print("vcproxy ctl: name a command, as in: vcproxy ctl show", file=sys.stderr)
    return 2


def client_of(chosen: argparse.Namespace) -> ControlClient:
    """Return a client for the proxy that the options mean. Raises CommandError."""
    from vcproxy.app.commands import control_client as clients

    given = [each for each in (chosen.pid, chosen.at, chosen.configuration) if each is not None]
    if len(given) > 1:
        raise clients.WrongCall("--pid, --at and -c each mean one proxy: give one of them")
    timeout_s = clients.TIMEOUT_S if chosen.timeout is None else chosen.timeout
    if chosen.at is not None:
        return clients.client_at(chosen.at, chosen.token_file, timeout_s)
    file = chosen.configuration
    if file is not None:
        client = clients.configured_client(file, chosen.token_file, timeout_s)
        if client is not None:
            return client
        file = file.resolve()
    return clients.found_client(chosen.pid, file, timeout_s)


# -- changes -------------------------------------------------------------------------------------


def _sending(command: str, *parameters: str) -> Act:
    """Return what sends a command with the arguments of these names, and prints its reply."""

    def act(chosen: argparse.Namespace) -> int:
        return _send(chosen, command, {name: getattr(chosen, name) for name in parameters})

    return act


def _send(chosen: argparse.Namespace, command: str, parameters: Mapping[str, str]) -> int:
    answer = client_of(chosen).post(command.lower().replace("_", "-"), parameters)
    if chosen.json:
        print(json.dumps(answer))
        return INCOMPLETE if answer.get("missing") else 0
    from vcproxy.app.commands.text_table import details
    from vcproxy.printable_text import printable

    missing = str(answer.pop("missing", "") or "")
    reply = str(answer.pop("reply", "")).removeprefix("PROXY_")
    print(reply.lower().replace("_", " "))
    for line in str(answer.pop("list", "")).splitlines():
        print(f"  {printable(line)}")
    for line in details(sorted(answer), answer, {}):
        print(f"  {line}")
    for line in missing.splitlines():
        print(f"missing: {printable(line)}", file=sys.stderr)
    return INCOMPLETE if missing else 0


def _server(chosen: argparse.Namespace) -> int:
    if (chosen.change == "weight") != (chosen.weight is not None):
        chosen.parser.error("write: vcproxy ctl server NAME weight N")
    if chosen.change == "weight":
        return _send(chosen, "SERVER", {"name": chosen.name, "weight": chosen.weight})
    return _send(chosen, "SERVER", {"name": chosen.name, "state": chosen.change})


def _drain(chosen: argparse.Namespace) -> int:
    parameters = {} if chosen.listener == "all" else {"listener": chosen.listener}
    return _send(chosen, "DRAIN", parameters)


def _stop(chosen: argparse.Namespace) -> int:
    return _send(chosen, "QUITTING" if chosen.at_once else "STOP", {})


def _dashboard(chosen: argparse.Namespace) -> int:
    answer = client_of(chosen).post("dashboard", {})
    if chosen.json:
        print(json.dumps(answer))
    else:
        for each in answer.get("addresses", ()):
            print(each)
    return 0


def _trace(chosen: argparse.Namespace) -> int:
    try:
        for data in client_of(chosen).events(f"trace/{chosen.conn}"):
            if not data:
                print("it is traced: Ctrl-C ends that", file=sys.stderr, flush=True)
            elif chosen.json:
                print(data, flush=True)
            else:
                _print_event(json.loads(data))
    except KeyboardInterrupt:
        pass
    return 0


def _print_event(event: Mapping[str, Any]) -> None:
    """Print an event of a trace in one line; why the trace has ended, on standard error."""
    from vcproxy.printable_text import printable

    if "end" in event:
        print(printable(event["end"]), file=sys.stderr)
    elif "dropped" in event:
        print(f"... {event['dropped']} events came too fast, and are not shown", flush=True)
    else:
        line = (
            f"{event['at']:11.6f}  {event['machine']} @ {event['state']} got '{event['event']}' "
            f"from {event['source']}  (in {event['bytes_in']}, out {event['bytes_out']} bytes)"
        )
        print(printable(line), flush=True)


# -- questions -----------------------------------------------------------------------------------


def _show(chosen: argparse.Namespace) -> int:
    if chosen.question is None or chosen.help_columns:
        return _explain(chosen)
    from vcproxy.app.commands.control_client import WrongCall

    query = {}
    for each in chosen.filters:
        name, equals, value = each.partition("=")
        if not equals:
            raise WrongCall(f'"{each}" is no filter: write COLUMN=VALUE, as listener=db')
        query[name] = value
    answer = client_of(chosen).get(f"show/{chosen.question}", query)
    if chosen.json:
        print(json.dumps(answer))
    else:
        _print_rows(chosen, answer)
    for text in answer["missing"]:
        print(f"missing: {text}", file=sys.stderr)
    return INCOMPLETE if answer["missing"] else 0


def _explain(chosen: argparse.Namespace) -> int:
    """Print the questions, or the columns of one."""
    from vcproxy.app.commands.control_client import WrongCall

    answer = client_of(chosen).get("help")
    questions = answer["questions"]
    if chosen.question is not None:
        questions = {name: each for name, each in questions.items() if name == chosen.question}
        if not questions:
            raise WrongCall(f"there is no question {chosen.question}: see vcproxy ctl show")
    if chosen.json:
        print(json.dumps(questions))
        return 0
    if chosen.question is None:
        _print_pairs({name: each["about"] for name, each in questions.items()})
        return 0
    [question] = questions.values()
    print(f"{question['about']}\n")
    _print_pairs({**question["columns"], **question["arguments"]})
    return 0


def _print_pairs(pairs: Mapping[str, str]) -> None:
    width = max(map(len, pairs), default=0)
    for name, text in pairs.items():
        print(f"{name:<{width}}  {text}")


def _print_rows(chosen: argparse.Namespace, answer: Mapping[str, Any]) -> None:
    from vcproxy.app.commands import text_table

    rows: Sequence[Mapping[str, Any]] = answer["rows"]
    units: Mapping[str, str] = answer["units"]
    columns = ["worker", *(["thread"] if rows and "thread" in rows[0] else []), *answer["columns"]]
    for each in (*_names(chosen.columns), *_names(chosen.sort)):
        if each not in columns:
            from vcproxy.app.commands.control_client import WrongCall

            raise WrongCall(f"there is no column {each}; there are {', '.join(columns)}")
    if chosen.sort:
        rows = text_table.sorted_rows(rows, chosen.sort, reverse=chosen.reverse)
    if chosen.columns:
        columns = _names(chosen.columns)
    elif not chosen.all:
        columns = text_table.useful_columns(columns, rows)
    if not rows:
        print("none")
    elif len(rows) == 1 and not chosen.columns:
        print("\n".join(text_table.details(columns, rows[0], units)))
    else:
        unlimited = chosen.all or chosen.columns or not sys.stdout.isatty()
        width = None if unlimited else shutil.get_terminal_size().columns
        lines, left_out = text_table.TextTable(columns, rows, units).lines(width)
        print("\n".join(lines))
        if left_out:
            print(f"not shown, see --all and --columns: {', '.join(left_out)}", file=sys.stderr)


def _names(text: str) -> list[str]:
    return [each.strip() for each in text.split(",") if each.strip()]
