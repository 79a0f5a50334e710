"""METRICS: the one table of the proxy's metrics.

docs/reference/metrics.md is made from it. Those of plugins declare themselves: see
vcproxy/instruments.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import chain
from typing import Any, Final

from vcproxy.control.metrics.metric import ColumnMetric, Combined, Metric, Rows
from vcproxy.http.proxy.request_counts import DURATIONS, RESPONSES
from vcproxy.instruments.instrument import Instrument


def _is(*states: str) -> Any:
    """Return a function that returns 1 for these states, 0 for all others."""
    return lambda state: float(state in states)


_listener = Rows({"listener": "listener"})
_process = Rows({})
_each_process = Rows({"worker": "worker", "pid": "pid", "version": "version"})
_thread = Rows({})

_info = _each_process.gauge(
    "vcproxy_process_info",
    "pid",
    "1 for each process that serves, with its number among the workers.",
    value=lambda pid: 1.0,
)

INFO: Final = _info.metric
"""The metric with the process id of each worker."""

COLUMNS: Final[Mapping[str, tuple[ColumnMetric, ...]]] = {
    "listeners": (
        _listener.counter("vcproxy_listener_accepted", "accepted", "Connections accepted."),
        _listener.counter(
            "vcproxy_listener_refused", "refused", "Connections closed because of `max_per_client`."
        ),
        _listener.gauge(
            "vcproxy_listener_open", "open", "Open connections, or sessions of datagrams."
        ),
        _listener.counter("vcproxy_listener_received_bytes", "bytes_in", "Read from clients."),
        _listener.counter("vcproxy_listener_sent_bytes", "bytes_out", "Written to clients."),
        _listener.gauge(
            "vcproxy_listener_max_connections",
            "max_connections",
            "The limit of open connections; 0: only the descriptors limit them.",
        ),
    ),
    "process": (
        _info,
        _process.gauge(
            "vcproxy_process_uptime_seconds",
            "uptime",
            "Time since the start of the youngest process that serves.",
            combined=Combined.LEAST,
        ),
        _process.gauge(
            "vcproxy_draining",
            "state",
            "1 while the proxy, or a worker, drains its connections before it ends.",
            combined=Combined.MOST,
            value=_is("draining"),
        ),
        _process.gauge(
            "vcproxy_reload_generation",
            "generation",
            "How often a configuration was put in use: 1 after the start.",
            combined=Combined.LEAST,
        ),
        _process.gauge(
            "vcproxy_reload_failed",
            "reload_error",
            "1 if the last reload was refused.",
            combined=Combined.MOST,
            value=lambda error: float(bool(error)),
        ),
        _process.gauge("vcproxy_child_processes", "children", "Child processes that run."),
        _process.gauge(
            "vcproxy_net_thread_lag_seconds",
            "lag",
            "The longest time that an event of any net thread has waited, in the last second.",
            combined=Combined.MOST,
        ),
        _process.counter(
            "vcproxy_log_dropped_lines",
            "dropped_log_lines",
            "Lines of the log and of access logs that their targets did not take.",
        ),
    ),
    "net thread": (
        _thread.counter(
            "vcproxy_net_thread_turns", "turns", "Turns of the engines: polls of their sockets."
        ),
        _thread.gauge("vcproxy_net_threads", "threads", "Net threads that have answered."),
        _thread.gauge("vcproxy_connections", "connections", "Open: to clients and to servers."),
        _thread.gauge("vcproxy_timers", "timers", "Timers that are set."),
        _thread.counter("vcproxy_calls", "calls_made", "Calls of plugins on other threads."),
        _thread.gauge("vcproxy_calls_pending", "calls", "Calls without a result yet."),
        _thread.gauge(
            "vcproxy_memory_used_bytes", "memory_used", "Of the budget: held for clients."
        ),
        _thread.gauge(
            "vcproxy_memory_limit_bytes", "memory_limit", "The budget, `[proxy] memory`."
        ),
    ),
}
"""The metrics that are columns, by the name of the question. "net thread" is no question of its
own: see vcproxy/control/questions/metrics.py."""

EVENTS: Final = Metric(
    "vcproxy_plugin_events",
    "counter",
    "What a plugin has counted in `service.counts`, by name.",
    ("listener", "event"),
)

MISSING: Final = Metric(
    "vcproxy_scrape_missing",
    "gauge",
    "Net threads and workers that did not answer in time: their counters are the last known ones.",
)


def _instrument(found: Instrument[Any]) -> Metric:
    kind: Any = found.kind
    return Metric(found.name, kind, found.help, ("listener", *found.labels))


METRICS: Final[Mapping[str, Metric]] = {
    metric.name: metric
    for metric in (
        *(each.metric for each in chain(*COLUMNS.values())),
        _instrument(RESPONSES),
        _instrument(DURATIONS),
        EVENTS,
        MISSING,
    )
}
"""All metrics of the proxy, by name."""
