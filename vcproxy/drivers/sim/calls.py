"""SimCalls: the calls of one engine, in a simulation: each takes virtual time.

Tested in tests/drivers/test_sim.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING

from vcproxy.engine.plugin_error import as_error

if TYPE_CHECKING:
    from vcproxy.drivers.sim.driver import SimDriver
    from vcproxy.engine.commands import Call, CancelCall


class SimCalls:
    """Runs the functions of Calls, or returns given results. The driver refers to it."""

    def __init__(self, driver: SimDriver) -> None:
        self.results: Iterator[object] | None = None
        """Results to use for the next Calls (exceptions are raised); None: run the functions."""
        self._driver = driver
        self._cancelled: set[int] = set()  # call numbers

    def start(self, command: Call) -> None:
        """Begin a call."""
        driver = self._driver
        driver.complete_after(driver.network.faults.call_s, partial(self._finish, command))

    def cancel(self, command: CancelCall) -> None:
        """Do not answer a call."""
        self._cancelled.add(command.number)

    def _finish(self, command: Call) -> None:
        if command.number in self._cancelled:
            self._cancelled.remove(command.number)
            return
        value: object = None
        error: Exception | None = None
        try:
            value = self._value(command)
        except BaseException as mistake:
            error = as_error(mistake)
        self._driver.engine.called(command.number, value, error)

    def _value(self, command: Call) -> object:
        if self.results is None:
            return command.fn(*command.args)
        value = next(self.results, LookupError("no result is left for this call"))
        if isinstance(value, Exception):
            raise value
        return value
