"""The master of a proxy with several workers, as the command line starts it.

Tested in tests/e2e/test_workers.py.
"""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import closing
from functools import partial

from vcproxy.app import garbage
from vcproxy.app.control.control_thread import ControlThread
from vcproxy.app.control.controlled_master import ControlledMaster
from vcproxy.app.start import StartError, open_log
from vcproxy.config.loader import Configuration
from vcproxy.config.workers import count
from vcproxy.drivers.epoll.descriptors import raise_limit
from vcproxy.listeners.activation import activated
from vcproxy.workers.master_process import MasterProcess


def serve_with_workers(configuration: Configuration, trace: str | None) -> int:
    """Run the master and its workers; return the exit status. Raises StartError."""
    of = count(configuration.settings)

    def command(number: int, channel: int, stacks: int) -> list[str]:
        """Return the command line of a worker. `ps` shows it."""
        numbers = {"number": number, "of": of, "channel": channel, "stacks": stacks}
        options = {**numbers, "trace": trace}
        given = [f"--{name}={value}" for name, value in options.items() if value is not None]
        return [*_python(), "-m", "vcproxy.app.worker", str(configuration.file), *given]

    raise_limit()
    log = open_log(configuration)
    for warning in configuration.warnings:
        log("warning", f"configuration: {warning}")
    try:
        sockets = activated(configuration, partial(log, "warning"))
        master = MasterProcess(configuration, of, command, log, sockets)
        control = ControlThread(configuration, ControlledMaster(master), log)
        garbage.settle()
        with closing(control):
            control.bind()
            master.on_ready = control.start
            ended = master.run()
    except OSError as error:
        raise StartError(str(error)) from None
    finally:
        log.close()
    if ended.reason:
        raise StartError(ended.reason)
    return ended.status


def _python() -> list[str]:
    """Return the command line of an interpreter like this one.

    Without -P the new interpreter would search the working directory for modules first. This one
    does that only if it was started with -m itself.
    """
    flags: list[str] = subprocess._args_from_interpreter_flags()  # type: ignore[attr-defined]
    started_with_m = sys.path[:1] == [os.getcwd()]
    return [sys.executable, *flags, *([] if started_with_m or "-P" in flags else ["-P"])]
