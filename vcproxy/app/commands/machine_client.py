"""Run one exchange with a machine or a machine server, as the commands do.

Tested in tests/app/commands/test_machine_command.py and tests/e2e/test_machine_command.py.
"""

from __future__ import annotations

import os
import random
import socket
import sys
from collections.abc import Sequence
from ipaddress import ip_address
from typing import TYPE_CHECKING

from vcproxy.app.commands.machine_profiles import chosen_profile
from vcproxy.bus.mailbox.peer import LOCALHOST, Peer, is_group, parse_peer, show_peer
from vcproxy.drivers.epoll import descriptors
from vcproxy.drivers.epoll.driver import EpollDriver
from vcproxy.engine.engine import Engine
from vcproxy.engine.mutex import Mutex
from vcproxy.printable_text import printable
from vcproxy.supervise.client import Client

if TYPE_CHECKING:
    from vcproxy.engine.log_function import Level
    from vcproxy.supervise.exchange import Exchange, Outcome

MEMORY = 1 << 20
"""The memory budget of connections, of which there are none."""


class ClientError(Exception):
    """The exchange cannot begin; the text is printed."""


def resolve(text: str, port: int | None) -> Peer:
    """Return the numeric address of an address text. Raises ClientError.

    `port`: that of a text without one; None: the text must have one. Only where it is 0, any port,
    the text may have port 0.
    """
    try:
        host, number = parse_peer(text, port or 0)
        if not number and port != 0:
            write = f":{text} for that port of this host" if text.isdecimal() else "HOST:PORT"
            raise ClientError(f"{text}: it has no port: write {write}")
        ip_address(host)
    except ValueError as error:
        if str(error).startswith(f'"{text}" is not an address'):
            raise ClientError(str(error)) from None
    else:
        return host, number
    try:
        # IPv4, as the original: a server is at one address
        found = socket.getaddrinfo(host, number, socket.AF_INET, socket.SOCK_DGRAM)
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or "not a valid name"
        raise ClientError(f"{host}: its address cannot be found: {reason.lower()}") from None
    return str(found[0][4][0]), number


def talk(
    exchange: Exchange, address: str, *, groups: Sequence[Peer], plain: bool, profile: str
) -> Outcome:
    """Run an exchange to its end, and print it: see Client. Raises ClientError."""
    for group in groups:
        if not is_group(group):
            raise ClientError(f"{show_peer(group)} is not a multicast group, as 224.0.0.1:5000 is")
    to = getattr(exchange, "to", None)
    if address:
        own = resolve(address, 0)
    elif to is None or is_group(to) or ip_address(to[0]).is_loopback:
        own = ("::1" if to is not None and ":" in to[0] else LOCALHOST, 0)
    else:
        own = ("::" if ":" in to[0] else "0.0.0.0", 0)
    descriptors.open_standard()
    engine = Engine("client", memory=MEMORY, random=random.Random(), log=_log)
    driver = EpollDriver(engine)

    problems: list[OSError] = []

    def show(text: str) -> None:
        if sys.stdout is None:  # it was closed
            return
        try:
            sys.stdout.buffer.write(printable(text).encode(errors="surrogateescape") + b"\n")
            sys.stdout.buffer.flush()
        except OSError as error:
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # for what is buffered
            problems.append(error)
            driver.stop()

    mutex = Mutex()
    times, codec = chosen_profile(profile)
    client = Client(
        engine,
        mutex,
        exchange,
        own,
        show,
        groups=tuple(groups),
        plain=plain,
        profile=times,
        codec=codec,
    )
    with mutex.hold(engine):
        client.start()
    driver.run()
    if problems:
        if isinstance(problems[0], BrokenPipeError):  # see vcproxy.app.standard_output
            raise problems[0]
        reason = os.strerror(problems[0].errno or 0).lower()
        raise ClientError(f"the output cannot be written: {reason}")
    return client.outcome


def _log(level: Level, text: str, error: Exception | None = None) -> None:
    if level in ("warning", "error"):
        print(f"Error: {printable(text)}", file=sys.stderr)
    if error is not None:
        raise error  # a mistake in the program
