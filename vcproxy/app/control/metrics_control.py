"""MetricsControl: the door at which the metrics are read, with its sockets.

Tested in tests/e2e/test_metrics.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vcproxy.app.control.control_sockets import ControlSockets

if TYPE_CHECKING:
    from vcproxy.app.logs.log import LineLog
    from vcproxy.config.loader import Configuration
    from vcproxy.control.controlled import Controlled
    from vcproxy.control.web.web_server import WebServer
    from vcproxy.drivers.epoll.driver import EpollDriver


class MetricsControl:
    """See ControlDoor."""

    label = "metrics"

    def __init__(self, configuration: Configuration, proxy: Controlled, log: LineLog) -> None:
        """Without sockets. `proxy`: what is asked."""
        self._addresses = configuration.settings.metrics.bind
        self._proxy = proxy
        self._log = log
        self.sockets = ControlSockets("metrics.bind", configuration.file, log)
        self._server: WebServer | None = None

    def bind(self) -> None:
        """See ControlDoor. Import what is needed too: it takes a tenth of a second, in which the
        net threads would wait if they served already."""
        if self._addresses:
            import vcproxy.control.metrics_pages
            import vcproxy.control.questions.asking  # noqa: F401

            self.sockets.bind(self._addresses)

    def open(self, driver: EpollDriver) -> None:
        """See ControlDoor."""
        from vcproxy.control.metrics_pages import MetricsPages

        self._server = server = MetricsPages(driver.engine, self._proxy, self._log).server
        for address, sock in self.sockets.listening.items():
            driver.listen(address, server, sock)

    def finish(self) -> None:
        """See ControlDoor."""
        if self._server is not None:
            self._server.finish()

    def close(self) -> None:
        """See ControlDoor."""
        self.sockets.close()
