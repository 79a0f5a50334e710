"""Serve: start a proxy from its configuration file, in this process or with several workers.

Tested in tests/e2e/test_command_line.py and test_workers.py.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from vcproxy.app.start import StartError
from vcproxy.config.loader import load
from vcproxy.config.workers import count
from vcproxy.drivers.epoll.descriptors import open_standard
from vcproxy.listeners.activation import activated

if TYPE_CHECKING:
    from vcproxy.app.server import Proxy


def start_trace(proxy: Proxy, name: str) -> None:
    """Log the events of the machines with a name, or of that class."""
    from vcproxy.machine.trace import Trace, unknown_machine

    if wrong := unknown_machine(name):
        proxy.log("warning", f"--trace {name}: {wrong}")
    Trace(lambda received: proxy.log("info", str(received)), name).start()


def serve(file: Path, trace: str | None = None, record: Path | None = None) -> int:
    """Load a configuration and run it; return the exit status. Raises ConfigError, StartError.

    Args:
        file: the configuration.
        trace: the name of the machines whose events are logged.
        record: the log to record the run to.
    """
    open_standard()
    configuration = load(file)
    if count(configuration.settings) > 1:
        if record is not None:
            raise StartError(f"{file}: --record needs workers = 1: it records one process")
        from vcproxy.app.master import serve_with_workers  # not imported for one process

        return serve_with_workers(configuration, trace)
    if record is not None:
        configuration = configuration.recorded_to(record)
    if configuration.settings.record is not None:
        from vcproxy.replay.record.recording import with_hash_seed

        with_hash_seed()
    from vcproxy.app.server import Proxy  # not imported for a master

    unused: list[str] = []
    proxy = Proxy(configuration, inherited=activated(configuration, unused.append))
    for text in unused:
        proxy.log("warning", text)
    for warning in configuration.warnings:
        proxy.log("warning", f"configuration: {warning}")
    if trace is not None:
        start_trace(proxy, trace)
    proxy.run()
    return proxy.exit_status
