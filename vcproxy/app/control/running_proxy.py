"""RunningProxy: the proxy in this process, as the questions of the control see it.

Tested in tests/e2e/test_questions.py.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from time import monotonic
from typing import TYPE_CHECKING, Any

from vcproxy.app.control.setting_rows import setting_rows
from vcproxy.app.draining import children, connections

if TYPE_CHECKING:
    from vcproxy.app.server import Proxy
    from vcproxy.config.loader import Configuration
    from vcproxy.engine.engine import Engine
    from vcproxy.listeners.listeners import Listeners


class RunningProxy:
    """See Running."""

    def __init__(self, proxy: Proxy) -> None:
        self._proxy = proxy

    @property
    def worker(self) -> int:
        """See Running."""
        return self._proxy.worker

    @property
    def engines(self) -> Sequence[Engine]:
        """See Running."""
        return self._proxy.engines

    @property
    def listeners(self) -> Listeners:
        """See Running."""
        return self._proxy.listeners

    @property
    def configuration(self) -> Configuration:
        """See Running."""
        return self._proxy.reloads.configuration

    @property
    def ending(self) -> bool:
        """See Running."""
        return self._proxy.reloads.ending

    def resident(self) -> int:
        """See Running."""
        with open("/proc/self/statm") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    def lag(self, thread: str) -> tuple[float, float]:
        """See Running."""
        lag = self._proxy.lags()[thread]
        return lag.average_s, lag.longest_s

    def reload_rows(self) -> list[dict[str, Any]]:
        """See Running."""
        return self._proxy.reloads.last.rows()

    def setting_rows(self) -> list[dict[str, Any]]:
        """See Running."""
        return setting_rows(self._proxy.reloads.configuration)

    def record_change(self, name: str, arguments: Mapping[str, str]) -> None:
        """See Running."""
        if self._proxy.recording is not None:
            self._proxy.recording.changed(name, arguments)

    def process(self) -> Mapping[str, Any]:
        """See Running."""
        from importlib.metadata import version  # takes some milliseconds

        proxy, reloads = self._proxy, self._proxy.reloads
        lags = proxy.lags()
        return {
            "role": "worker" if proxy.worker else "proxy",
            "pid": os.getpid(),
            "version": version("vcproxy"),
            "state": "draining" if reloads.ending else "serving",
            "uptime": round(monotonic() - proxy.started_at, 1),
            "configuration": str(reloads.configuration.file),
            "generation": reloads.last.generation,
            "reloaded_at": round(reloads.last.at, 3),
            "reload_error": reloads.failure,
            "connections": connections(proxy.engines),
            "children": children(proxy.engines),
            "lag": round(max((each.longest_s for each in lags.values()), default=0.0), 6),
            "threads": [f"{name} {each.longest_s:.6f}" for name, each in lags.items()],
            "dropped_log_lines": proxy.log.dropped + proxy.access_targets.dropped,
        }
