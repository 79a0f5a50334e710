"""stop_proxy and reload_proxy: plugins can stop or reload the whole proxy. The driver does it after
the current turn."""

from __future__ import annotations

from vcproxy.engine.commands import Rescan, Stop
from vcproxy.engine.engine import Engine


def stop_proxy(engine: Engine, status: int = 0) -> None:
    """Stop the proxy as SIGTERM does: programs get Signal, connections drain.

    `engine` is the plugin's: `self.engine`; in a filter `tx.engine`. A second call has no effect.
    `status`: the exit status of the proxy; not 0 for a failure, so that a service manager starts it
    again.
    """
    engine.command(Stop(status))


def reload_proxy(engine: Engine) -> None:
    """Read the configuration and the plugins again, as SIGHUP does.

    The files are read on another thread. If they have errors, these are logged and nothing changes.
    """
    engine.command(Rescan())
