"""Workers: how many processes a configuration asks for, and the share that each of them gets.

The memory and all limits are divided, so that all workers together stay within the values of the
file. A listener that needs one process for all its clients runs in worker 1 only, and so does an
upstream that only such listeners use: their limits are not divided.
"""

import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from vcproxy.config.errors import KeyProblem
from vcproxy.config.plugin import Plugin, one_worker
from vcproxy.config.positions import KeyPath
from vcproxy.config.schema import Settings
from vcproxy.config.tables.admission import RateTable
from vcproxy.config.tables.listener import ListenerTable
from vcproxy.config.tables.upstream import UpstreamTable
from vcproxy.engine.units import show_size

if TYPE_CHECKING:
    from vcproxy.config.loader import Configuration


Pair = tuple[ListenerTable, Plugin]
"""A listener and its plugin."""


def count(settings: Settings) -> int:
    """Return the number of workers; for "auto", of the processors this process may use."""
    workers = settings.proxy.workers
    return len(os.sched_getaffinity(0)) if workers == "auto" else workers


def only_in_worker_1(configuration: "Configuration") -> dict[str, str]:
    """Return the names of the listeners that run in worker 1 only, each with the reason."""
    return _only_in_worker_1(_pairs(configuration))


def share(configuration: "Configuration", number: int, of: int) -> "Configuration":
    """Return the configuration of one worker.

    Args:
        configuration: that of the file.
        number: which worker, from 1 on.
        of: the number of workers. It may differ from the number in the file: a reload does not
            change it.
    """
    settings = configuration.settings
    single = only_in_worker_1(configuration)
    mine = [each for each in settings.listener if number == 1 or each.name not in single]
    whole = _used_in_worker_1(_pairs(configuration))
    return replace(
        configuration,
        settings=settings.model_copy(
            update={
                "proxy": settings.proxy.model_copy(
                    update={"workers": 1, "memory": part(settings.proxy.memory, number, of)}
                ),
                "listener": tuple(
                    each if each.name in single else _share_of_listener(each, number, of)
                    for each in mine
                ),
                "upstream": {
                    name: each if name in whole else _share_of_upstream(each, number, of)
                    for name, each in settings.upstream.items()
                    if number == 1 or name not in whole
                },
            }
        ),
    )


def part(total: int, number: int, of: int) -> int:
    """Return one part of `total`: the parts differ by 1 at most, and their sum is `total`.

    But none is 0 unless `total` is: a limit of 0 means that there is none.
    """
    return min(total, max(total // of + (number <= total % of), 1))


def problems(settings: Settings, plugins: Mapping[int, Plugin]) -> Iterator[KeyProblem]:
    """Yield what is not possible with the number of workers in the file.

    `plugins`: those with valid options, by the index of their listener.
    """
    of, workers = count(settings), ("proxy", "workers")
    if settings.record is not None and settings.proxy.workers != 1:
        text = "must be 1 with [record]: a recording contains the run of one process"
        yield KeyProblem(workers, text, because=(("record",),))
    pairs = [(settings.listener[index], plugin) for index, plugin in plugins.items()]
    single, whole = _only_in_worker_1(pairs), _used_in_worker_1(pairs)
    limits: list[tuple[KeyPath, int]] = [
        (("listener", index, "limits", key), limit)
        for index, listener in enumerate(settings.listener)
        for key, limit in _listener_limits(listener)
        if listener.name not in single
    ]
    limits += [
        (("listener", index, "rate", item, "requests"), rate.requests)
        for index, listener in enumerate(settings.listener)
        for item, rate in enumerate(listener.rate)
        if listener.name not in single and rate.for_each == "listener"
    ]
    limits += [
        (("upstream", name, "max_connections"), upstream.max_connections)
        for name, upstream in settings.upstream.items()
        if name not in whole
    ]
    for path, limit in limits:
        if 0 < limit < of:
            text = (
                f"is {limit}, and it is divided among {of} workers: write {of} or more, "
                "or fewer workers"
            )
            yield KeyProblem(path, text, because=(workers,))


def notes(configuration: "Configuration") -> Iterator[tuple[str, str]]:
    """Yield what the workers share, and how: see `vcproxy.config.notes`."""
    settings = configuration.settings
    of = count(settings)
    if of == 1:
        for table, section, keys in (
            ("proxy", settings.proxy, ("worker_timeout",)),
            ("supervise", settings.supervise, ("intensity", "period")),
        ):
            fields = type(section).model_fields
            for key in keys:
                # Not for a default that is written down, as `vcproxy -T` prints it.
                if getattr(section, key) != fields[key].default:
                    nothing = "no effect with workers = 1: nothing replaces one process"
                    yield f"{table}.{key}", nothing
        return
    memory = show_size(part(settings.proxy.memory, 1, of))
    yield "proxy.workers", f"{of} processes, each with its own descriptor limit"
    yield "proxy.memory", f"divided among {of} workers: {memory} for each"
    single, whole = only_in_worker_1(configuration), _used_in_worker_1(_pairs(configuration))
    for name, reason in single.items():
        yield f"listener.{name}", f"runs in worker 1 only: {reason}"
    for listener in settings.listener:
        if listener.name not in single:
            for key, limit in _listener_limits(listener):
                yield from _division(f"listener.{listener.name}.limits.{key}", limit, of)
            for rate in listener.rate:
                path = f"listener.{listener.name}.rate"
                if rate.for_each == "listener":
                    yield from _division(f"{path}.requests", rate.requests, of)
                else:
                    each = "each counts what it serves"
                    yield path, f'for_each = "{rate.for_each}" in each of {of} workers: {each}'
    for name, upstream in settings.upstream.items():
        if name not in whole:
            yield from _division(f"upstream.{name}.max_connections", upstream.max_connections, of)
            if upstream.check is not None:
                yield f"upstream.{name}.check", f"each of {of} workers checks the servers"


def _division(key: str, limit: int, of: int) -> Iterator[tuple[str, str]]:
    if limit:
        parts = dict.fromkeys(part(limit, number, of) for number in range(1, of + 1))
        yield key, f"divided among {of} workers: {' or '.join(map(str, parts))} for each"


def _pairs(configuration: "Configuration") -> list[Pair]:
    plugins = configuration.plugins
    return [(listener, plugins[listener.name]) for listener in configuration.settings.listener]


def _only_in_worker_1(pairs: Iterable[Pair]) -> dict[str, str]:
    found = {listener.name: _reason(listener, plugin) for listener, plugin in pairs}
    return {name: reason for name, reason in found.items() if reason}


def _used_in_worker_1(pairs: Iterable[Pair]) -> set[str]:
    """Return the names of the upstreams that only listeners of worker 1 use."""
    used: dict[str, bool] = {}
    for listener, plugin in pairs:
        single = bool(_reason(listener, plugin))
        for name in (listener.upstream, *plugin.upstreams.values()):
            if name is not None:
                used[name] = single and used.get(name, True)
    return {name for name, single in used.items() if single}


_SINGLE = {
    "stdio": "there is only one standard input",
    "terminal": "there is only one terminal",
    "fifo": "two readers of a FIFO would take each other's data",
    "unixgram": "all clients of a path send to one socket",
}
"""Why addresses of these schemes are in one worker."""


def _reason(listener: ListenerTable, plugin: Plugin) -> str:
    """Return why a listener runs in worker 1 only; empty: it runs in every worker."""
    for address in listener.bind:
        if address.scheme in _SINGLE:
            return _SINGLE[address.scheme]
        if address.multicast:
            return "each socket of a multicast group gets every datagram"
    return one_worker(plugin.cls)


def _listener_limits(listener: ListenerTable) -> Iterator[tuple[str, int]]:
    """Yield the limits of a listener that are set."""
    limits = listener.limits
    if limits.max_connections is not None:
        yield "max_connections", limits.max_connections
    if limits.max_per_client:
        yield "max_per_client", limits.max_per_client


def _share_of_listener(listener: ListenerTable, number: int, of: int) -> ListenerTable:
    limits = {key: part(limit, number, of) for key, limit in _listener_limits(listener)}
    return listener.model_copy(
        update={
            "limits": listener.limits.model_copy(update=limits),
            "rate": tuple(_share_of_rate(each, number, of) for each in listener.rate),
        }
    )


def _share_of_rate(rate: RateTable, number: int, of: int) -> RateTable:
    """Return the share of a rate: only that of all clients together is divided. A client often has
    one connection, which is in one worker, and may use all that the file allows."""
    if rate.for_each != "listener":
        return rate
    burst = rate.requests if rate.burst is None else rate.burst
    return rate.model_copy(
        update={"requests": part(rate.requests, number, of), "burst": part(burst, number, of)}
    )


def _share_of_upstream(upstream: UpstreamTable, number: int, of: int) -> UpstreamTable:
    queue, pool = upstream.queue, upstream.pool
    return upstream.model_copy(
        update={
            "max_connections": part(upstream.max_connections, number, of),
            "queue": queue.model_copy(update={"size": part(queue.size, number, of)}),
            "pool": pool.model_copy(update={"idle": part(pool.idle, number, of)}),
        }
    )
