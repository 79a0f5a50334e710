"""HttpControl: the door of the control that takes HTTP requests, with its sockets and its token.

Its modules are imported when the first client comes, as most proxies get none for long. Tested in
tests/e2e/test_http_control.py.
"""

from __future__ import annotations

import os
from functools import partial
from typing import TYPE_CHECKING

from vcproxy.app.control.control_sockets import ControlSockets
from vcproxy.app.control.runtime_directory import http_socket, token_path

if TYPE_CHECKING:
    from vcproxy.app.control.control_token import ControlToken
    from vcproxy.app.logs.log import LineLog
    from vcproxy.config.loader import Configuration
    from vcproxy.control.controlled import Controlled
    from vcproxy.control.dashboard.dashboard import Dashboard
    from vcproxy.control.web.web_server import WebServer
    from vcproxy.drivers.epoll.driver import EpollDriver
    from vcproxy.engine.address import Address


class HttpControl:
    """See ControlDoor."""

    label = "control (HTTP)"

    def __init__(self, configuration: Configuration, proxy: Controlled, log: LineLog) -> None:
        """Without sockets. `proxy`: what the commands act on."""
        self._configuration = configuration
        self._proxy = proxy
        self._log = log
        self.sockets = ControlSockets("control.http", configuration.file, log)
        self._token: ControlToken | None = None
        self._servers: list[WebServer] = []
        self._dashboard: Dashboard | None = None

    def bind(self) -> None:
        """See ControlDoor."""
        table = self._configuration.settings.control
        if any(not isinstance(each, str) and each.scheme == "tcp" for each in table.http):
            from vcproxy.app.control.control_token import ControlToken  # few proxies need one

            path, own = (
                (table.token_file, False) if table.token_file else (token_path(os.getpid()), True)
            )
            self._token = ControlToken(path, own=own, file=self._configuration.file)
        self.sockets.bind(table.http, http_socket(os.getpid()))

    def open(self, driver: EpollDriver) -> None:
        """See ControlDoor."""
        import secrets

        from vcproxy.bus.message import definitions
        from vcproxy.control.dashboard.dashboard import Dashboard
        from vcproxy.control.http_door import HttpDoor

        token = "" if self._token is None else self._token.text
        hosts = self._configuration.settings.control.hosts
        log = driver.engine.log
        door = HttpDoor(self._proxy, definitions.load(), log, token=token, hosts=hosts)
        sites = [_site(each) for each in self.sockets.listening if each.scheme != "unix"]
        secret = partial(secrets.token_urlsafe, 32)
        self._dashboard = Dashboard(driver.engine, self._proxy, door.command, secret, sites)
        entrance = self._dashboard.entrance(door.allowed)
        for unix in (True, False):
            pages = () if unix else self._dashboard.routes()
            server = door.server(driver.engine, entrance, *pages, unix=unix)
            self._servers.append(server)
            for address, sock in self.sockets.listening.items():
                if (address.scheme == "unix") == unix:
                    driver.listen(address, server, sock)

    def finish(self) -> None:
        """See ControlDoor."""
        if self._dashboard is not None:
            self._dashboard.close()
        for server in self._servers:
            server.finish()

    def close(self) -> None:
        """See ControlDoor."""
        self.sockets.close()
        if self._token is not None:
            self._token.close()


def _site(address: Address) -> str:
    """Return an address as browsers write it, without a path."""
    scheme = "https" if address.secure else "http"
    return f"{scheme}://{address.text.partition('://')[2]}"
