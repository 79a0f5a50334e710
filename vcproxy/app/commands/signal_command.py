"""The command `vcproxy signal`: send one message to a proxy or service, and print its reply.

Source: eventdispatcher.md 6, `ed-signal`.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from vcproxy.app.commands.argument_types import positive, some_seconds
from vcproxy.app.commands.command_error import CommandError
from vcproxy.printable_text import printable

if TYPE_CHECKING:
    import ssl

    from vcproxy.bus.message.bus_message import BusMessage
    from vcproxy.engine.address import Address

ABOUT = """\
Send a message to the proxy that runs on this host, or to any service that takes messages of one
line, and print the reply.

  vcproxy signal HELP                                  the messages that the running proxy takes
  vcproxy signal STATUS                                how it is
  vcproxy signal RELOAD                                load its configuration again, with the result
  vcproxy signal --pid 4711 STOP                       one of several proxies
  vcproxy signal --host 10.0.0.7:4041 LOG_ROTATE       a datagram: no reply is waited for
  vcproxy signal --type tcp --host 10.0.0.7:4042 ALIVE
  vcproxy signal --host unix:/run/app.sock -p name=blue -p size=3 PAINT
  vcproxy signal snap:cluckd/STOP                      forwarded to another service

MESSAGE is [[SERVER:]SERVICE/]COMMAND; parameters may follow as NAME=VALUE;NAME=VALUE, and a message
in JSON is taken too.
"""

EPILOG = """\
Without --host, --type and --pid, the message goes to the only proxy of this host that has a socket
PID.sock in $XDG_RUNTIME_DIR/vcproxy or, if there is none, in /run/vcproxy. If several run, nothing
is sent, and they are listed.

Options may also be written in /etc/eventdispatcher/ed-signal.conf and /etc/vcproxy/signal.conf, as
`type = tcp`, and in the environment, in ED_SIGNAL and VCPROXY_SIGNAL, as on the command line, which
goes before all of them. MESSAGE, --param and --reply stand on the command line only.

exit status: 0 sent, and the reply is no refusal, 1 the reply is a refusal (INVALID, UNKNOWN,
SERVICE_UNAVAILABLE, NOT_...), 2 wrong command line or file, 3 nothing runs there, or no reply came,
4 several proxies run.
"""

FILES = (Path("/etc/eventdispatcher/ed-signal.conf"), Path("/etc/vcproxy/signal.conf"))
"""The original's file, and ours, which goes before it."""

VARIABLES = ("ED_SIGNAL", "VCPROXY_SIGNAL")

SERVICE = "vcproxy_signal"
"""The name of the sender in messages, with the name of this host as server."""

DEFAULT_HOST, DEFAULT_PORT = "127.0.0.1", 4041
"""Where the original sends to: the communicator of this host."""

TIMEOUT_S = 60.0
"""How long a reply may take: a RESTART replaces the workers one by one."""

_FROM_FILES = ("host", "type", "encrypt", "secret_code", "server", "service", "timeout")

_REFUSALS = re.compile("INVALID|UNKNOWN|SERVICE_UNAVAILABLE|NOT_.*")


class WrongSignal(CommandError):
    """The message or an option is wrong."""

    status = 2


class NoReply(CommandError):
    """Nothing runs there, or there was no reply."""

    status = 3


class SeveralProxies(CommandError):
    """It is not certain which proxy is meant."""

    status = 4


def add_to(
    commands: argparse._SubParsersAction[argparse.ArgumentParser],
) -> dict[str, argparse.ArgumentParser]:
    """Add the command `signal` to the command line; return its parser."""
    parser = commands.add_parser(
        "signal",
        help="send a message to a running proxy or a service, and print the reply",
        usage="vcproxy signal [OPTION]... MESSAGE",
        description=ABOUT,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.set_defaults(act=lambda chosen: _signal(chosen, parser))
    parser.add_argument("text", metavar="MESSAGE", nargs="?", help="what to send")
    parser.add_argument("-m", "--message", metavar="MESSAGE", help="the same as MESSAGE")
    parser.add_argument(
        "-p",
        "--param",
        metavar="NAME[=VALUE]",
        action="append",
        default=[],
        help="a parameter; may be repeated",
    )
    parser.add_argument("--pid", type=int, help="the process of the proxy, if several run")
    parser.add_argument(
        "-H",
        "--host",
        metavar="HOST[:PORT]|ADDRESS|FILE@VARIABLE",
        help="where to send it: a host (port 4041 if there is none), an address as unix:PATH, "
        "tcp://HOST:PORT, tls://, udp://, unixgram:PATH, fifo:PATH, or a file with a variable that "
        "contains one of these",
    )
    parser.add_argument(
        "-t",
        "--type",
        choices=["udp", "tcp", "unix"],
        help="how to send it: to a host udp if nothing else is chosen, otherwise unix",
    )
    parser.add_argument("-e", "--encrypt", action="store_true", help="use TLS, with --type tcp")
    parser.add_argument("--ca", metavar="FILE", help="authorities for TLS in place of the system's")
    parser.add_argument("--certificate", metavar="FILE", help="the certificate to present with TLS")
    parser.add_argument("--key", metavar="FILE", help="its key")
    parser.add_argument(
        "-r",
        "--reply",
        action=argparse.BooleanOptionalAction,
        help="wait for a reply and print it: the default, except for datagrams and FIFOs",
    )
    parser.add_argument(
        "--replies",
        metavar="N",
        type=positive,
        default=1,
        help="wait for so many replies, and print each as it comes (default: 1)",
    )
    parser.add_argument(
        "--format",
        choices=["lines", "text", "json"],
        default="lines",
        help="how the reply is printed: one parameter on each line (the default), or as a message "
        "in text or JSON",
    )
    parser.add_argument(
        "-c",
        "--secret-code",
        metavar="CODE",
        help="the code that the receiver requires of datagrams",
    )
    parser.add_argument("-s", "--server", metavar="NAME", help="the server, if not in MESSAGE")
    parser.add_argument("-S", "--service", metavar="NAME", help="the service, if not in MESSAGE")
    parser.add_argument(
        "--timeout",
        metavar="TIME",
        type=some_seconds,
        help=f"how long the reply may take: 5s, or a number of seconds (default: {TIMEOUT_S:g}s)",
    )
    return {"signal": parser}


def _signal(chosen: argparse.Namespace, parser: argparse.ArgumentParser) -> int:

    try:
        _complete(chosen, parser)
        message = requested(chosen)
        address = _address(chosen)
        context = _tls(chosen) if address.secure else None
    except ValueError as error:
        raise WrongSignal(printable(str(error))) from None
    status = 0
    for command, text in _shown_replies(message, address, context, chosen):
        print(text, flush=True)
        status = int(bool(_REFUSALS.fullmatch(command)))
        if command == "UNKNOWN":
            print(f"{message.command} is no command there: HELP lists all", file=sys.stderr)
    return status


def _shown_replies(
    message: BusMessage,
    address: Address,
    context: ssl.SSLContext | None,
    chosen: argparse.Namespace,
) -> Iterator[tuple[str, str]]:
    """Send the message; yield the command and the text of each reply. Raises CommandError."""
    from vcproxy.bus.message.invalid_message import InvalidMessage

    try:
        for reply in _replies(message, address, context, chosen):
            yield reply.command, shown(reply, chosen.format)
    except InvalidMessage as error:
        raise NoReply(printable(f"{address}: the reply is not a message: {error}")) from None
    except OSError as error:
        raise NoReply(printable(str(error))) from None
    except ValueError as error:  # too long for a datagram, or an address of another kind
        raise WrongSignal(printable(str(error))) from None


def _complete(chosen: argparse.Namespace, parser: argparse.ArgumentParser) -> None:
    """Fill in what the command line leaves out, from environment and files. Raises ValueError."""
    import shlex  # most commands do not need it

    from vcproxy.app.commands.variable_file import read_variables

    words: list[str] = []
    for file in FILES:
        if file.exists():
            for name, value in read_variables(file).items():
                if name == "encrypt":
                    words += ["--encrypt"] if value in ("1", "true", "yes", "on") else []
                elif name in _FROM_FILES:
                    words.append(f"--{name.replace('_', '-')}={value}")
    for variable in VARIABLES:
        words += shlex.split(os.environ.get(variable, ""))
    try:
        others = parser.parse_args(words)
    except SystemExit:
        places = ", ".join([*map(str, FILES), *VARIABLES])
        raise ValueError(f"the wrong option comes from one of {places}") from None
    if chosen.pid is not None:
        others.host = others.type = None
    elif _has_scheme(chosen.host or ""):
        others.type = None
    for name in (*_FROM_FILES, "ca", "certificate", "key"):
        if not getattr(chosen, name):
            setattr(chosen, name, getattr(others, name))


def requested(chosen: argparse.Namespace) -> BusMessage:
    """Return the message that the options mean. Raises ValueError."""
    import socket
    from dataclasses import replace

    from vcproxy.bus.message.bus_message import BusMessage
    from vcproxy.bus.message.invalid_message import InvalidMessage
    from vcproxy.bus.message.secret_code import PARAMETER

    if (chosen.text is None) == (chosen.message is None):
        raise ValueError("write one message, as in: vcproxy signal STATUS")
    text: str = chosen.text if chosen.text is not None else chosen.message
    try:
        message = BusMessage.parse(text)
    except InvalidMessage as error:
        raise ValueError(f'"{text}" is not a message: {error}') from None
    if (chosen.server and message.server) or (chosen.service and message.service):
        raise ValueError("server or service is given twice: in the message, and as an option")
    parameters = dict(message.parameters)
    for each in chosen.param:
        name, _, value = each.partition("=")
        parameters[name] = value
    if chosen.secret_code:
        parameters[PARAMETER] = chosen.secret_code
    host = re.sub(r"[^\w.-]", "-", socket.gethostname(), flags=re.ASCII)
    complete = replace(
        message,
        parameters=parameters,
        server=chosen.server or message.server,
        service=chosen.service or message.service,
        sent_from_server=message.sent_from_server or host,
        sent_from_service=message.sent_from_service or SERVICE,
    )
    try:
        complete.to_text()
    except InvalidMessage as error:
        raise ValueError(f"the message cannot be sent: {error}") from None
    return complete


def _address(chosen: argparse.Namespace) -> Address:
    """Return where to send to. Raises ValueError, CommandError."""
    from vcproxy.app.commands.variable_file import read_variable
    from vcproxy.engine.address import Address

    host: str = chosen.host or ""
    if "@" in host and not _has_scheme(host):
        file, _, variable = host.rpartition("@")
        host = read_variable(Path(file), variable)
    if chosen.type == "unix" and host and ":" not in host:
        host = f"unix:{host}"
    if _has_scheme(host):
        address = Address.parse(host)
        kind = {"unixpacket": "unix", "tls": "tcp"}.get(address.scheme, address.scheme)
        if chosen.type not in (None, kind):
            raise ValueError(f"{host} is not of the type {chosen.type}: leave out one of the two")
        return address
    if not host and chosen.type in (None, "unix"):
        return Address("unix", path=str(_found(chosen.pid)))
    if chosen.type == "unix":
        raise ValueError(f'"{host}" is not the path of a Unix socket')
    scheme = chosen.type or "udp"
    if chosen.encrypt:
        if scheme == "udp":
            raise ValueError("--encrypt needs --type tcp: there is no TLS over UDP here")
        scheme = "tls"
    host = host or DEFAULT_HOST
    if host.count(":") > 1 and not host.startswith("["):
        host = f"[{host}]"  # an IPv6 address
    with_port = re.search(r":\d+$", host) and not host.endswith("]")
    return Address.parse(f"{scheme}://{host}" if with_port else f"{scheme}://{host}:{DEFAULT_PORT}")


def _has_scheme(host: str) -> bool:
    """Return whether a host is an address with a scheme, as tcp://HOST:PORT or unix:PATH."""
    from vcproxy.engine.address import SCHEMES

    scheme, _, rest = host.partition(":")
    return scheme in SCHEMES and not rest.isdecimal()


def _found(pid: int | None) -> Path:
    """Return the socket of the only proxy, or of that with a number. Raises CommandError."""
    from vcproxy.app.commands.processes import find_process
    from vcproxy.app.commands.running_proxies import running_proxies, socket_folders

    folders = socket_folders()
    found = running_proxies(folders, pid)
    permitted = [each for each in found if each.permitted]
    if len(permitted) == 1:
        return permitted[0].socket
    if permitted:
        listed = (f"  --pid {printable(str(find_process(each.pid) or each.pid))}" for each in found)
        raise SeveralProxies(
            f"{len(permitted)} proxies run; nothing was sent. Choose one:\n" + "\n".join(listed)
        )
    places = " or ".join(map(str, folders))
    if found:
        raise NoReply(f"{found[0].socket}: permission denied: only its user and root may use it")
    which = "no proxy" if pid is None else f"no proxy with the number {pid}"
    raise NoReply(
        f"{which} has a socket in {places}: start one, or name its address with --host, if its "
        "[control] bus is another"
    )


def _tls(chosen: argparse.Namespace) -> ssl.SSLContext:
    from vcproxy.drivers.tls_context import client_context

    return client_context(ca=chosen.ca, certificate=chosen.certificate, key=chosen.key)


def _replies(
    message: BusMessage,
    address: Address,
    context: ssl.SSLContext | None,
    chosen: argparse.Namespace,
) -> Iterator[BusMessage]:
    """Send the message; yield the replies that are waited for. Raises OSError, ValueError."""
    from vcproxy.bus.connections.blocking_client import BlockingClient, send_datagram

    timeout_s = TIMEOUT_S if chosen.timeout is None else chosen.timeout
    if address.scheme in ("udp", "unixgram"):
        reply = send_datagram(address, message, reply_s=timeout_s if chosen.reply else 0.0)
        if reply is not None:
            yield reply
        return
    with BlockingClient(address, tls=context) as client:
        if address.scheme == "fifo" and chosen.reply:
            raise ValueError(f"{address}: no replies come from there: leave out --reply")
        client.send(message)
        if address.scheme != "fifo" and chosen.reply is not False:
            for _ in range(chosen.replies):
                yield client.receive(timeout_s)


def shown(message: BusMessage, form: str) -> str:
    """Return a reply as text for an operator: one parameter on each line, or as a message."""
    if form == "json":
        return message.to_json()
    if form == "text":
        return printable(message.to_text())
    width = max(map(len, message.parameters), default=0)
    lines = [message.command]
    for name, value in sorted(message.parameters.items()):
        first, *others = printable(value).split("\n")
        lines.append(f"  {name:<{width}}  {first}".rstrip())
        lines += [f"  {'':<{width}}  {other}" for other in others]
    return "\n".join(lines)
