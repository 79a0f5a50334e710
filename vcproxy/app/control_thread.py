"""ControlThread: the net thread of the door of a proxy, and its sockets.

Its modules are imported when the first message comes, as most proxies get none for long. Tested in
tests/e2e/test_control.py.
"""

from __future__ import annotations

import os
import select
import signal
import socket
import threading
from collections.abc import Callable, Iterable, Sequence
from contextlib import closing
from dataclasses import replace
from functools import partial
from random import Random
from time import monotonic, thread_time
from typing import TYPE_CHECKING, Final, Protocol

from vcproxy.app.runtime_directory import control_socket, prepare_directory
from vcproxy.app.start import StartError
from vcproxy.config.certificate_files import files_of
from vcproxy.config.errors import ConfigError
from vcproxy.config.tables.control import UNIX
from vcproxy.control.controlled import Controlled
from vcproxy.drivers.epoll.accepting import bind
from vcproxy.drivers.epoll.driver import EpollDriver
from vcproxy.engine.address import Address
from vcproxy.engine.engine import Engine
from vcproxy.engine.mutex import Mutex

if TYPE_CHECKING:
    from vcproxy.app.log import LineLog
    from vcproxy.bus.message.definitions import Definitions
    from vcproxy.config.loader import Configuration
    from vcproxy.control.bus_door import BusDoor
    from vcproxy.drivers.epoll.unix_socket import SocketFile
    from vcproxy.engine.listener import Listener
    from vcproxy.listeners.tls_contexts import TlsContext

MODE: Final = "0600"
"""The mode of a Unix socket whose address has none: only its user may stop the proxy."""

MEMORY: Final = 16 << 20
"""Bytes for all that is held for the clients of the door."""

SHARE: Final = 0.2
"""The share of a processor that the thread may use for long. So a flood of messages does not take
the interpreter from the net threads; it is enough for thousands of messages a second."""

BURST_S: Final = 0.2
"""Processor time that it may use at once: the import of its modules, and some commands."""


class ControlledProcess(Controlled, Protocol):
    """What the commands act on, with the thread of its control."""

    def begin(self, thread: ControlThread) -> None:
        """The first message has come. `thread` is for `Gathering`."""


class ControlThread:
    """The control of one process. `close` must be called, whether it was started or not."""

    def __init__(
        self, configuration: Configuration, proxy: ControlledProcess, log: LineLog
    ) -> None:
        """Without sockets. `proxy`: what the commands act on."""
        self._configuration = configuration
        self._proxy = proxy
        self._log = log
        self._driver: EpollDriver | None = None
        self._sockets: dict[Address, socket.socket] = {}
        self._files: list[SocketFile] = []
        self._datagrams: list[Address] = []
        self._tls: TlsContext | None = None
        self._definitions: Definitions | None = None
        self._stopping = False
        self._wakeup = -1
        self._thread: threading.Thread | None = None

    def bind(self) -> None:
        """Bind the sockets. Raises StartError, except for the default socket: that is logged."""
        table = self._configuration.settings.control
        self._tls = _tls_context(self._configuration)
        if table.bus and table.messages:
            self._definitions = self._load_definitions()
        try:
            for each in table.bus:
                if each == UNIX:
                    self._bind_default()
                else:
                    self._bind(each)
        except OSError as error:
            reason = (error.strerror or str(error)).lower()
            text = f"control.bus: cannot listen at {each}: {reason}"
            raise StartError(f"{self._configuration.file}: {text}") from None

    def _load_definitions(self) -> Definitions:
        from vcproxy.app.message_definitions import load_definitions  # few proxies have any

        try:
            return load_definitions(self._configuration)
        except ConfigError as error:
            raise StartError(str(error)) from None

    def _bind_default(self) -> None:
        path = control_socket(os.getpid())
        try:
            prepare_directory()
            self._bind(Address.parse(f"unix:{path}"))
        except (OSError, ValueError) as error:
            reason = (getattr(error, "strerror", None) or str(error)).lower()
            self._log(
                "warning",
                f"control.bus: no socket at {path}: {reason}; this proxy takes no messages: create "
                'the folder for its user, or set XDG_RUNTIME_DIR, or write bus = "off"',
            )

    def _bind(self, address: Address) -> None:
        if address.scheme == "udp":
            from vcproxy.drivers.epoll.datagram import bound

            with bound(address) as probe:  # the thread binds it again, as a source of datagrams
                host, port = probe.getsockname()[:2]
            self._datagrams.append(Address("udp", host=host, port=port))
            return
        if address.scheme == "unix":
            from vcproxy.drivers.epoll.unix_socket import SocketFile

            if not any(name == "mode" for name, _ in address.file):
                address = replace(address, file=(*address.file, ("mode", MODE)))
            self._sockets[address] = bind(address)
            self._files.append(SocketFile(address.path))
            return
        sock = bind(address)
        self._sockets[address.with_port(sock.getsockname()[1])] = sock

    # -- for the proxy -----------------------------------------------------------------------

    def start(self) -> None:
        """Take messages from now on, if there are sockets."""
        if not (self._sockets or self._datagrams):
            return
        for address in (*self._sockets, *self._datagrams):
            self._log("info", f"control at {address.text}")  # without its mode
        self._driver = EpollDriver(Engine("control", memory=MEMORY, random=Random(), log=self._log))
        self._wakeup = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._thread = threading.Thread(target=self._run, name="control")
        # The thread inherits the signal mask: it must not get signals that others wait for.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        self._thread.start()
        signal.pthread_sigmask(signal.SIG_SETMASK, before)

    def feed(self, call: Callable[[], None]) -> None:
        """Make a call in the thread. Any thread may call it, after the start."""
        assert self._driver is not None
        self._driver.engine.inbox.feed(call)

    def after(self, seconds: float, call: Callable[[], None]) -> None:
        """Make a call in the thread after a time. To be called in the thread."""
        assert self._driver is not None
        self._driver.after(seconds, call)

    def close(self) -> None:
        """End the thread, close the sockets and remove their files."""
        self._stopping = True
        if self._thread is not None:
            os.eventfd_write(self._wakeup, 1)
            self._thread.join()
            self._thread = None
            os.close(self._wakeup)
        for file in self._files:
            file.remove()
        for sock in self._sockets.values():
            sock.close()
        self._files.clear()
        self._sockets.clear()

    # -- the thread --------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            assert self._driver is not None
            with closing(self._driver) as driver:
                if not self._datagrams:
                    self._wait()
                if not self._stopping:
                    self._serve(driver)
        except Exception as error:
            self._log("error", "the control has failed: this proxy takes no more messages", error)

    def _wait(self) -> None:
        """Wait for the first client, or the end."""
        poll = select.poll()
        for fd in (self._wakeup, *(sock.fileno() for sock in self._sockets.values())):
            poll.register(fd, select.POLLIN)
        poll.poll()

    def _serve(self, driver: EpollDriver) -> None:
        door = self._open(driver)
        driver.watch(self._wakeup, _Wakeup(), select.EPOLLIN)
        self._turn(driver)
        door.close()
        driver.turn(0.0)  # sends what is left

    def _open(self, driver: EpollDriver) -> BusDoor:
        from vcproxy.bus.message import definitions
        from vcproxy.control.bus_door import BusDoor, DoorSettings

        table = self._configuration.settings.control
        settings = DoorSettings(
            table.service,
            socket.gethostname().partition(".")[0],
            self._definitions or definitions.load(),
            table.allow,
            table.services,
            _connect_context(table.services.values()),
            trace=table.trace,
        )
        self._proxy.begin(self)
        door = BusDoor(driver.engine, self._proxy, settings)
        secure: list[Listener] = []
        if self._tls is not None:
            self._renew(self._tls, secure)  # it was made long before the first client
        for address, sock in self._sockets.items():
            tls = self._tls.made if self._tls is not None and address.secure else None
            mutual = table.tls is not None and table.tls.client_ca is not None
            listener = door.listener(address, tls, mutual=mutual)
            driver.listen(address, listener, sock)
            if tls is not None:
                secure.append(listener)
        for address in self._datagrams:
            door.datagrams(address)
        if self._tls is not None:
            from vcproxy.listeners.files_watch import FilesWatch

            renew = partial(self._renew, self._tls, secure)
            watch = FilesWatch(driver.engine, Mutex(), renew, renew)
            with watch.mutex.hold(driver.engine):
                watch.use((), map(str, self._tls.digests), again=False)
        return door

    def _renew(self, tls: TlsContext, secure: Sequence[Listener]) -> None:
        """Use new certificates and keys. They are read in this thread, which serves no traffic."""
        from vcproxy.listeners.tls_contexts import remake

        def use(context: TlsContext, made: object) -> None:
            context.made = made
            for listener in secure:
                listener.tls = made

        for remade in remake([tls]):
            remade.use(use, self._log)

    def _turn(self, driver: EpollDriver) -> None:
        """Turn until the end, within SHARE."""
        credit, at, used = BURST_S, monotonic(), thread_time()
        while not self._stopping:
            driver.turn()
            now, then = monotonic(), thread_time()
            credit = min(credit + SHARE * (now - at), BURST_S) - (then - used)
            at, used = now, then
            if credit < 0.0:
                self._pause(-credit / SHARE)

    def _pause(self, seconds: float) -> None:
        """Sleep, but not beyond the end."""
        poll = select.poll()
        poll.register(self._wakeup, select.POLLIN)
        poll.poll(seconds * 1000)


def _tls_context(configuration: Configuration) -> TlsContext | None:
    """Return the TLS context of the door; None: it has none. Raises StartError."""
    tls = configuration.settings.control.tls
    if tls is None:
        return None
    from vcproxy.drivers.tls_context import server_context
    from vcproxy.listeners.tls_contexts import make_context

    def make() -> object:
        return server_context(tls.certificate, tls.key, client_ca=tls.client_ca)

    try:
        return make_context("control", files_of(tls), make)
    except ValueError as error:
        raise StartError(f"{configuration.file}: control.tls: {error}") from None


def _connect_context(services: Iterable[Address]) -> object:
    """Return the TLS context for connections to other services; None: none is on tls://."""
    if not any(each.secure for each in services):
        return None
    from vcproxy.drivers.tls_context import client_context

    return client_context()


class _Wakeup:
    """Wakes the thread for its end. A Watcher."""

    def ready(self, mask: int) -> None:
        """Do nothing: the turn ends."""
