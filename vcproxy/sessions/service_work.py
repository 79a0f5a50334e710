"""ServiceWork: the periodic work of an object that belongs to a service: a filter, a shared object.

It ends when a reload has replaced the service and its last session has ended. Tested in
tests/sessions/test_every.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vcproxy.engine.continuation import Continuation
from vcproxy.engine.mutex import Mutex
from vcproxy.machine.every import start_periodic
from vcproxy.sessions.session import Session

if TYPE_CHECKING:
    from vcproxy.engine.engine import Engine
    from vcproxy.sessions.service import Service


class ServiceWork(Continuation):
    """Calls the methods that an object declares with `every`."""

    def __init__(self, engine: Engine, service: Service, owner: object) -> None:
        super().__init__(engine, Mutex())
        self._service = service
        self._owner = owner

    def __repr__(self) -> str:
        return f"<{type(self._owner).__qualname__} of {self._service.name}>"

    def start(self, options: object) -> None:
        """Begin. `options`: those of the object. Raises TypeError: see `every`."""
        with self.mutex.hold(self.engine):
            start_periodic(self, self._service.name, type(self._owner), options, self._call)

    def _call(self, method: str) -> None:
        if self._over:
            self.engine.close_sources(self.mutex)
        else:
            getattr(self._owner, method)()

    @property
    def _over(self) -> bool:
        service = self._service
        if not service.draining:
            return False
        sessions = [vc.session for vc in self.engine.vcs]
        return not any(isinstance(each, Session) and each.service is service for each in sessions)
