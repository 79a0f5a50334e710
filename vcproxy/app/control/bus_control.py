"""BusControl: the door of the control that takes messages of the bus, with its sockets.

Its modules are imported when the first message comes, as most proxies get none for long. Tested in
tests/e2e/test_control.py.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterable, Sequence
from functools import partial
from typing import TYPE_CHECKING

from vcproxy.app.control.control_sockets import ControlSockets
from vcproxy.app.control.runtime_directory import control_socket
from vcproxy.app.start import StartError
from vcproxy.config.errors import ConfigError
from vcproxy.engine.mutex import Mutex

if TYPE_CHECKING:
    from vcproxy.app.logs.log import LineLog
    from vcproxy.bus.message.definitions import Definitions
    from vcproxy.config.loader import Configuration
    from vcproxy.control.bus_door import BusDoor
    from vcproxy.control.controlled import Controlled
    from vcproxy.drivers.epoll.driver import EpollDriver
    from vcproxy.engine.address import Address
    from vcproxy.engine.listener import Listener
    from vcproxy.listeners.tls_contexts import TlsContext


class BusControl:
    """See ControlDoor."""

    label = "control"

    def __init__(self, configuration: Configuration, proxy: Controlled, log: LineLog) -> None:
        """Without sockets. `proxy`: what the commands act on."""
        self._configuration = configuration
        self._proxy = proxy
        self._log = log
        self.sockets = ControlSockets("control.bus", configuration.file, log)
        self._tls: TlsContext | None = None
        self._definitions: Definitions | None = None
        self._door: BusDoor | None = None

    def bind(self) -> None:
        """See ControlDoor."""
        table = self._configuration.settings.control
        self._tls = _tls_context(self._configuration)
        if table.bus and table.messages:
            self._definitions = self._load_definitions()
        self.sockets.bind(table.bus, control_socket(os.getpid()))

    def _load_definitions(self) -> Definitions:
        from vcproxy.app.message_definitions import load_definitions  # few proxies have any

        try:
            return load_definitions(self._configuration)
        except ConfigError as error:
            raise StartError(str(error)) from None

    def open(self, driver: EpollDriver) -> None:
        """See ControlDoor."""
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
        self._door = door = BusDoor(driver.engine, self._proxy, settings)
        secure: list[Listener] = []
        if self._tls is not None:
            self._renew(self._tls, secure)  # it was made long before the first client
        for address, sock in self.sockets.listening.items():
            tls = self._tls.made if self._tls is not None and address.secure else None
            mutual = table.tls is not None and table.tls.client_ca is not None
            listener = door.listener(address, tls, mutual=mutual)
            driver.listen(address, listener, sock)
            if tls is not None:
                secure.append(listener)
        for address in self.sockets.datagrams:
            door.datagrams(address)
        if self._tls is not None:
            from vcproxy.listeners.files_watch import FilesWatch

            renew = partial(self._renew, self._tls, secure)
            watch = FilesWatch(driver.engine, Mutex(), renew, renew)
            with watch.mutex.hold(driver.engine):
                watch.use((), map(str, self._tls.digests), again=False)
            self._report_expiry(self._tls, driver)

    def finish(self) -> None:
        """See ControlDoor."""
        if self._door is not None:
            self._door.close()

    def _renew(self, tls: TlsContext, secure: Sequence[Listener]) -> None:
        """Use new certificates and keys. They are read in this thread, which serves no traffic."""
        from vcproxy.listeners.tls_contexts import remake

        def use(context: TlsContext, made: object) -> None:
            context.made = made
            for listener in secure:
                listener.tls = made

        for remade in remake([tls]):
            remade.use(use, self._log)

    def _report_expiry(self, tls: TlsContext, driver: EpollDriver) -> None:
        """Log once a day, from tomorrow on, whether the certificate should be renewed."""
        from vcproxy.drivers.certificate_validity import DAY_S
        from vcproxy.listeners.certificate_expiry import to_renew

        def report() -> None:
            for text in to_renew([tls], driver.engine.wall):
                self._log("warning", text)
            driver.after(DAY_S, report)

        driver.after(DAY_S, report)

    def close(self) -> None:
        """See ControlDoor."""
        self.sockets.close()


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
        return make_context("control", tls, make)
    except ValueError as error:
        raise StartError(f"{configuration.file}: control.tls: {error}") from None


def _connect_context(services: Iterable[Address]) -> object:
    """Return the TLS context for connections to other services; None: none is on tls://."""
    if not any(each.secure for each in services):
        return None
    from vcproxy.drivers.tls_context import client_context

    return client_context()
