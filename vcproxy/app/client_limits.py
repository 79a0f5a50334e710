"""How many clients the limit of descriptors allows, for the log.

Tested in tests/e2e/test_descriptors.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vcproxy.config.loader import Configuration
    from vcproxy.drivers.epoll.descriptors import Descriptors
    from vcproxy.engine.log_function import LogFunction


def log_client_limits(
    configuration: Configuration, descriptors: Descriptors, log: LogFunction
) -> None:
    """Log how many clients are possible; warn of listeners whose configured limit is higher."""
    limit, most = descriptors.limit, descriptors.most_clients
    allow = f"{limit} descriptors allow {most} clients at a time, each with a server"
    log("info", allow)
    for entry in configuration.settings.listener:
        configured = entry.limits.max_connections or 0
        if configured > most:
            place = f"listener.{entry.name}: limits.max_connections = {configured}"
            log("warning", f"{place}, but {allow}: raise the limit (ulimit -n)")
