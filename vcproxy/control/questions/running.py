"""Running: a proxy in one process, as the questions see it.

Implemented by `vcproxy.app.control.running_proxy`. Tested in
tests/control/questions/test_asking.py.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from vcproxy.config.loader import Configuration
    from vcproxy.engine.engine import Engine
    from vcproxy.listeners.listeners import Listeners


class Running(Protocol):
    """One process that serves. All but `engines` is read on its first net thread only."""

    @property
    def worker(self) -> int:
        """Its number among the workers; 0: there are none."""

    @property
    def engines(self) -> Sequence[Engine]:
        """The engines of its net threads; the first one accepts."""

    @property
    def listeners(self) -> Listeners:
        """Its listeners and upstreams."""

    @property
    def configuration(self) -> Configuration:
        """The configuration in use."""

    @property
    def ending(self) -> bool:
        """Whether it drains."""

    def resident(self) -> int:
        """Return the bytes of memory that the process has."""

    def lag(self, thread: str) -> tuple[float, float]:
        """Return the average and the longest lag of a net thread in the last second."""

    def reload_rows(self) -> list[dict[str, Any]]:
        """Return the rows of the question `reloads`."""

    def setting_rows(self) -> list[dict[str, Any]]:
        """Return the rows of the question `settings`."""

    def record_change(self, name: str, arguments: Mapping[str, str]) -> None:
        """Record one of CHANGES, if the proxy is recorded, just before it is made. To be called on
        the net thread that it is made on."""

    def process(self) -> Mapping[str, Any]:
        """Return the row of the question `process`."""
