"""Run a machine server, as `vcproxy machine serve` does.

Tested in tests/app/commands/test_machine_command.py and tests/e2e/test_machine_command.py.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from datetime import UTC, datetime
from ipaddress import ip_address, ip_network
from pathlib import Path
from signal import SIG_IGN, SIGHUP, getsignal

from vcproxy.app.commands.machine_profiles import chosen_profile
from vcproxy.app.commands.served_directory import ServedDirectory
from vcproxy.app.logs.log import LineLog
from vcproxy.app.privileges import PrivilegeError, drop_privileges, find_account
from vcproxy.bus.mailbox.peer import Peer, parse_peer
from vcproxy.drivers.epoll import descriptors
from vcproxy.drivers.epoll.driver import EpollDriver
from vcproxy.drivers.epoll.sources import child_processes
from vcproxy.engine.engine import Engine
from vcproxy.engine.mutex import Mutex
from vcproxy.supervise.server import ENDS, MachineServer
from vcproxy.supervise.server_request import SERVER_PORT

FAILURE = 255
"""The exit status of a server that could not start, as the original's."""

MEMORY = 1 << 20
"""The memory budget of connections, of which there are none."""


NEEDED = (child_processes,)
"""Modules that drivers import when they are needed: after the change of the user they may not be
readable any more."""


class ServeError(Exception):
    """The server cannot start; the text is printed."""


def serve(
    directory: Path,
    address: str,
    *,
    allow: list[str],
    logs: Path | None,
    user: str | None,
    profile: str,
) -> int:
    """Serve a directory until a signal; return the exit status. Raises ServeError.

    Args:
        directory: the programs.
        address: where to bind.
        allow: the networks that are answered; required unless the address is a loopback address.
        logs: the directory of log files; None: all output goes to standard output and error.
        user: the user to run as, once the address is bound.
        profile: the name of a profile.
    """
    descriptors.open_standard()
    own = _own(address, allow)
    try:
        account = None if user is None else find_account(user)
        server_log = None if logs is None else logs / f"{datetime.now(UTC):%Y%m%d%H%M%S}server.log"
        files = ServedDirectory(directory, logs, server_log)
        log = LineLog(server_log)
        if server_log is not None and account is not None:
            os.chown(server_log, account.uid, account.gid)
    except PrivilegeError as error:
        raise ServeError(str(error)) from None
    except OSError as error:
        raise ServeError(f"{error.filename}: {(error.strerror or '').lower()}") from None

    descriptors.raise_limit()
    engine = Engine("server", memory=MEMORY, random=random.Random(), log=log)
    driver = EpollDriver(engine)
    mutex = Mutex()
    times, codec = chosen_profile(profile)

    def bound() -> None:
        try:
            if account is not None:
                drop_privileges(account)
        except PrivilegeError as error:
            log("error", f"the server cannot start: {error}")
            server.status = FAILURE
            driver.stop()
        else:
            log.print("ready")

    server = MachineServer(
        engine,
        mutex,
        files,
        own,
        profile=times,
        codec=codec,
        allows=_allowed(own, allow) if allow else None,
        bound=bound,
        # nohup(1) has it ignored, so that the server outlives its terminal
        ends=tuple(n for n in ENDS if n != SIGHUP or getsignal(n) != SIG_IGN),
    )

    try:
        log("info", f"Directory: {directory}")
        with mutex.hold(engine):
            server.start()
        driver.run()
    finally:
        log.close()
    return FAILURE if server.status else 0


def _own(address: str, allow: list[str]) -> Peer:
    """Return where to bind. Raises ServeError."""
    try:
        host, port = parse_peer(address, SERVER_PORT)
    except ValueError as error:
        raise ServeError(str(error)) from None
    try:
        ip = ip_address(host)
    except ValueError:
        raise ServeError(f"{address}: write the address itself, not its name") from None
    if ip.is_unspecified:
        raise ServeError(
            f"{address}: machines are started at the address of their server: "
            "name the address of one interface"
        )
    if not ip.is_loopback and not allow:
        raise ServeError(
            f"{address}: it is not a loopback address, and whatever may send there may run every "
            "program of the directory: name the networks that may, as --allow 10.0.0.0/24"
        )
    return host, port


def _allowed(own: Peer, allow: list[str]) -> Callable[[Peer], bool]:
    """Return a function that returns whether a sender is answered: its own machines always are."""
    networks = [ip_network(each) for each in allow]

    def allowed(sender: Peer) -> bool:
        if sender[0] == own[0]:
            return True
        ip = ip_address(sender[0])
        return any(ip in network for network in networks)

    return allowed
