"""Upstreams: the upstreams of a proxy on all its engines. A reload replaces changed ones.

Tested in tests/upstream/test_configured.py.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from vcproxy.engine.tcp import TcpOptions
from vcproxy.upstream.server import Server
from vcproxy.upstream.settings import (
    CheckSettings,
    EjectSettings,
    PoolSettings,
    QueueSettings,
    UpstreamSettings,
)
from vcproxy.upstream.upstream import Upstream

if TYPE_CHECKING:
    from vcproxy.config.tables.proxy_protocol import UpstreamProxyProtocol
    from vcproxy.config.tables.upstream import UpstreamCheck, UpstreamTable
    from vcproxy.engine.engine import Engine
    from vcproxy.upstream.announcement import Announcement


class Upstreams:
    """The upstreams by name. Each engine has its own Upstream object."""

    def __init__(self, engines: Sequence[Engine]) -> None:
        self._engines = engines
        self._named: dict[str, tuple[UpstreamTable, dict[Engine, Upstream]]] = {}
        """The table in the configuration, and the Upstream object of each engine; by name."""

    def on(self, engine: Engine, name: str) -> Upstream:
        """Return the Upstream with this name of an engine."""
        return self._named[name][1][engine]

    def of(self, engine: Engine) -> list[Upstream]:
        """Return all upstreams of an engine, by name."""
        return [upstreams[engine] for _, upstreams in list(self._named.values())]

    def apply(self, tables: Mapping[str, UpstreamTable], contexts: Mapping[str, object]) -> None:
        """Create new and changed upstreams; close replaced and removed ones.

        Unchanged ones are kept, with their connections and states; only their TLS context is
        replaced, because certificate files may have changed. Changed ones keep the states and
        weights that were set at run time.
        """
        before, self._named = self._named, {}
        for name, table in tables.items():
            kept = before.get(name)
            if kept is not None and kept[0] == table:
                del before[name]
                for upstream in kept[1].values():
                    upstream.set_tls(contexts[name])
                self._named[name] = kept
            else:
                replaced = {} if kept is None else kept[1]
                self._named[name] = table, self._create(name, table, contexts[name], replaced)
        for _, removed in before.values():
            _close(removed)

    def close(self) -> None:
        """Close all upstreams: see Upstream.close."""
        for _, upstreams in self._named.values():
            _close(upstreams)

    def _create(
        self,
        name: str,
        table: UpstreamTable,
        context: object,
        replaced: Mapping[Engine, Upstream],
    ) -> dict[Engine, Upstream]:
        settings, created = _settings(table), {}
        for engine in self._engines:
            servers = _servers(table, context)
            if engine in replaced:
                replaced[engine].keep_settings(servers)
            created[engine] = Upstream(engine, name, servers, settings)
        return created


def _close(upstreams: Mapping[Engine, Upstream]) -> None:
    for engine, upstream in upstreams.items():
        engine.inbox.post(upstream.close)


def _servers(table: UpstreamTable, context: object) -> list[Server]:
    return [
        Server(
            each.address,
            context if each.address.secure else None,
            each.weight,
            backup=each.backup,
            state=each.state,
        )
        for each in table.servers
    ]


def _settings(table: UpstreamTable) -> UpstreamSettings:
    announcement = _announcement(table.proxy_protocol)
    return UpstreamSettings(
        balance=table.balance,
        hash_by=table.hash_by,
        max_connections=table.max_connections,
        queue=QueueSettings(**dict(table.queue)),
        retries=table.retries,
        all_backups=table.all_backups,
        pool=PoolSettings(**dict(table.pool)),
        check=None
        if table.check is None
        else _check_settings(table.check, b"" if announcement is None else announcement.local),
        announcement=announcement,
        eject=EjectSettings(**dict(table.eject)),
        slow_start=table.slow_start,
        resolve=table.resolve,
        tcp=TcpOptions(**dict(table.tcp)),
    )


def _announcement(table: UpstreamProxyProtocol | None) -> Announcement | None:
    if table is None:
        return None
    from vcproxy.upstream.announcement import Announcement  # most proxies have none

    return Announcement(int(table.version[1:]), table.tlvs)


def _check_settings(table: UpstreamCheck, introduction: bytes) -> CheckSettings:
    """Return the settings of a health check, by its kind.

    "tls" is "tcp" with a TLS handshake. "http" also sends a request.
    """
    values = dict(table)
    kind, request = values.pop("kind"), [values.pop(key) for key in ("path", "host", "status")]
    if kind == "http":
        from vcproxy.http.message.probe import HttpProbe

        probe = HttpProbe(*request)
        return CheckSettings(introduction, handshake=True, probe=probe, **values)
    return CheckSettings(introduction, handshake=kind != "tcp", probe=None, **values)
