"""stop_proxy and reload_proxy: plugins can stop or reload the whole proxy. The driver does it after
the current turn."""

from __future__ import annotations

from vcproxy.engine.commands import Rescan, Stop
from vcproxy.engine.engine import Engine


def stop_proxy(engine: Engine) -> None:
    """Stop the proxy as SIGTERM does: programs get Signal, connections drain, exit status 0.

    `engine` is the plugin's: `self.engine`; in a filter `tx.engine`. A second call has no effect.
    """
    engine.command(Stop())


def reload_proxy(engine: Engine) -> None:
    """Read the configuration and the plugins again, as SIGHUP does.

    The files are read on another thread. If they have errors, these are logged and nothing changes.
    """
    engine.command(Rescan())
