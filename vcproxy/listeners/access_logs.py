"""AccessLogs: the access logs of all listeners, on all engines, as the configuration has them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from vcproxy.config.tables.access_log import settings_of

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

    from vcproxy.access_log.log import AccessLog, AccessLogSettings, AccessTargets
    from vcproxy.config.schema import Settings
    from vcproxy.config.tables.listener import ListenerTable
    from vcproxy.engine.connection_record import ConnectionRecord
    from vcproxy.engine.engine import Engine
    from vcproxy.engine.net import NetVConnection
    from vcproxy.sessions.service import Service


class AccessLogs:
    """Makes the access logs of listeners.

    A reload applies at once to where records are written, also those of sessions that go on; how
    they are written is as it was when the session began.
    """

    def __init__(self, engines: Sequence[Engine], targets: AccessTargets | None) -> None:
        """`targets`: where to write to; None: nowhere, there are no access logs."""
        self._engines = engines
        self._targets = targets
        self._settings: dict[str, AccessLogSettings] = {}
        self._made: WeakKeyDictionary[AccessLog, str] = WeakKeyDictionary()
        """The logs in use, with the name of the listener: also those of replaced services."""

    def open(self, settings: Settings) -> None:
        """Open the targets of a configuration that are not open yet. Raises OSError."""
        if self._targets is not None:
            self._targets.open(_targets(_by_listener(settings).values()))

    def use(self, settings: Settings) -> None:
        """Use a configuration from now on, whose targets are open."""
        self._settings = _by_listener(settings)
        targets = self._targets
        if targets is None:
            return
        used = _targets(self._settings.values())
        for log, name in self._made.items():
            if log.settings.target not in used:
                own = self._settings.get(name)
                log.sink = _nowhere if own is None else targets.sink(own.target)
        targets.keep(used)

    def log(self, entry: ListenerTable, engine: Engine) -> AccessLog | None:
        """Return a new access log for a listener on an engine; None: it has none."""
        settings = self._settings.get(entry.name)
        if settings is None or self._targets is None:
            return None
        from vcproxy.access_log.log import AccessLog  # most proxies need none

        targets = self._targets
        log = AccessLog(engine, settings, targets.sink(settings.target), targets.time_of_day)
        self._made[log] = entry.name
        return log


def recorder(
    services: dict[Engine, Service], plugin: str
) -> Callable[[NetVConnection], ConnectionRecord] | None:
    """Return what makes the records of a listener's connections; None: it has no access log."""
    if all(service.access_log is None for service in services.values()):
        return None
    from vcproxy.access_log.record import SessionRecord

    def record(client: NetVConnection) -> ConnectionRecord:
        log = services[client.engine].access_log
        assert log is not None
        return SessionRecord(log, client, plugin)

    return record


def _by_listener(settings: Settings) -> dict[str, AccessLogSettings]:
    found = {
        entry.name: settings_of(settings.access_log, entry.access_log)
        for entry in settings.listener
    }
    return {name: own for name, own in found.items() if own is not None}


def _targets(settings: Iterable[AccessLogSettings]) -> frozenset[Hashable]:
    return frozenset(each.target for each in settings)


def _nowhere(line: bytes) -> None:
    """Drop a line: its listener has no access log any more."""
