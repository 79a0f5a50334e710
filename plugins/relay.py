"""relay: one source, any number of sinks; a slow sink does not slow down the others.

[listener.options]
subscribers = "tcp://127.0.0.1:7101"
framing = "lines"
on_lag = "drop_oldest"
"""

from __future__ import annotations

from vcproxy import api


class RelayPlugin(api.Relay):
    """Relays every message unchanged."""
