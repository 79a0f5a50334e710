"""Process: what plugins may ask of the whole proxy. It is done by its driver, after this turn."""

from __future__ import annotations

from vcproxy.engine.commands import Rescan, Stop
from vcproxy.engine.engine import Engine


def stop_proxy(engine: Engine) -> None:
    """Have the proxy stop as SIGTERM has it: programs get Signal, connections drain, exit 0.

    `engine` is that of the plugin: `self.engine`, of a filter `tx.engine`. Twice is harmless.
    """
    engine.command(Stop())


def reload_proxy(engine: Engine) -> None:
    """Have the configuration and the plugins read again, as SIGHUP has it.

    That takes a while, off the loop. What is wrong with them is in the log, and changes nothing.
    """
    engine.command(Rescan())
