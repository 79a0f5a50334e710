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


def _one(_: Any) -> float:
    return 1.0


def _any(value: Any) -> float:
    return float(bool(value))


_MOST, _LEAST = Combined.MOST, Combined.LEAST

_listener = Rows({"listener": "listener"})
_reason = Rows({"listener": "listener", "reason": "reason"})
_upstream = Rows({"upstream": "upstream"})
_server = Rows({"upstream": "upstream", "server": "server"})
_server_state = Rows({"upstream": "upstream", "server": "server", "state": "state"})
_split = Rows({"listener": "listener", "upstream": "upstream"})
_mirror = Rows({"listener": "listener", "mirror": "mirror"})
_machine = Rows({"machine": "machine", "state": "state"})
_certificate = Rows({"context": "context", "file": "file"})
_relay = Rows({"listener": "listener"})
_relay_state = Rows({"listener": "listener", "state": "state"})
_target = Rows({"listener": "listener", "target": "target"})
_process = Rows({})
_each_process = Rows({"worker": "worker", "pid": "pid", "version": "version"})
_thread = Rows({})

_info = _each_process.gauge(
    "vcproxy_process_info",
    "pid",
    "1 for each process that serves, with its number among the workers.",
    value=_one,
)

INFO: Final = _info.metric
"""The metric with the process id of each worker."""

COLUMNS: Final[Mapping[str, tuple[ColumnMetric, ...]]] = {
    "listeners": (
        _listener.counter("vcproxy_listener_accepted", "accepted", "Connections accepted."),
        _listener.counter(
            "vcproxy_listener_refused", "refused", "Connections that were closed, not served."
        ),
        _listener.counter(
            "vcproxy_listener_failed",
            "failed",
            "Connections that failed before they were used: TLS handshakes, PROXY headers.",
        ),
        _listener.counter(
            "vcproxy_listener_accept_failures",
            "accept_failures",
            "Accepts that failed, for example because no file descriptor is left.",
        ),
        _listener.gauge(
            "vcproxy_listener_open", "open", "Open connections, or sessions of datagrams."
        ),
        _listener.counter(
            "vcproxy_listener_received_bytes", "bytes_in", "Bytes read from clients."
        ),
        _listener.counter("vcproxy_listener_sent_bytes", "bytes_out", "Bytes written to clients."),
        _listener.gauge(
            "vcproxy_listener_max_connections",
            "max_connections",
            "The limit of open connections; 0: only the descriptors limit them.",
        ),
    ),
    "refusals": (
        _reason.counter(
            "vcproxy_listener_refusals",
            "count",
            "Connections, datagrams and requests refused: max_per_client, denied, rate.",
        ),
    ),
    "upstreams": (
        _upstream.gauge(
            "vcproxy_upstream_servers", "servers", "Servers of the upstream.", combined=_MOST
        ),
        _upstream.gauge(
            "vcproxy_upstream_up", "up", "Servers that get new connections.", combined=_LEAST
        ),
    ),
    "servers": (
        _server.gauge(
            "vcproxy_server_up",
            "up",
            "1 if the server is up for all net threads: healthy, and not ejected.",
            combined=_LEAST,
        ),
        _server_state.gauge(
            "vcproxy_server_state",
            "state",
            "1 for the state that was decided: ready, drain or maint.",
            combined=_MOST,
            value=_one,
        ),
        _server.gauge(
            "vcproxy_server_weight", "weight", "Its share of the connections.", combined=_MOST
        ),
        _server.gauge(
            "vcproxy_server_connections",
            "connections",
            "Connections that are being made, used or idle.",
        ),
        _server.gauge("vcproxy_server_idle", "idle", "Idle connections in the pool."),
        _server.counter("vcproxy_server_connects", "connects", "Connections that were begun."),
        _server.counter(
            "vcproxy_server_connect_failures",
            "connect_failures",
            "Connections that could not be made.",
        ),
        _server.counter("vcproxy_server_answered", "answered", "Requests that were answered."),
        _server.counter(
            "vcproxy_server_request_failures", "request_failures", "Requests that failed."
        ),
        _server.counter("vcproxy_server_ejections", "times_ejected", "Ejections."),
        _server.counter("vcproxy_server_received_bytes", "bytes_in", "Bytes read from it."),
        _server.counter("vcproxy_server_sent_bytes", "bytes_out", "Bytes written to it."),
    ),
    "queues": (
        _upstream.gauge(
            "vcproxy_queue_waiting", "waiting", "Connections that wait until a server has room."
        ),
        _upstream.gauge(
            "vcproxy_queue_longest_seconds",
            "longest",
            "How long the first of them waits.",
            combined=_MOST,
        ),
        _upstream.counter("vcproxy_queue_added", "added", "Connections that had to wait."),
        _upstream.counter(
            "vcproxy_queue_refused", "refused", "Connections that found the queue full."
        ),
        _upstream.counter(
            "vcproxy_queue_timed_out", "timed_out", "Connections that waited for too long."
        ),
    ),
    "relay states": (
        _relay_state.gauge("vcproxy_relay_sinks", "count", "Sinks of a relay: up, lagging, down."),
    ),
    "relays": (
        _relay.gauge(
            "vcproxy_relay_lag_bytes",
            "lag",
            "What waits for the sink that is farthest behind.",
            combined=_MOST,
        ),
    ),
    "relay targets": (
        _target.gauge("vcproxy_relay_target_up", "up", "1 if the target is connected."),
        _target.gauge("vcproxy_relay_target_lag_bytes", "lag", "What waits for the target."),
        _target.counter("vcproxy_relay_target_sent_bytes", "sent", "Bytes that it has taken."),
        _target.counter(
            "vcproxy_relay_target_dropped_messages",
            "dropped_messages",
            "Messages that were dropped for it.",
        ),
        _target.counter(
            "vcproxy_relay_target_dropped_bytes", "dropped_bytes", "Bytes of these messages."
        ),
        _target.counter(
            "vcproxy_relay_target_reconnects", "reconnects", "How often it was connected again."
        ),
    ),
    "mirrors": (
        _mirror.gauge("vcproxy_mirror_open", "open", "Conversations that are copied to it."),
        _mirror.gauge(
            "vcproxy_mirror_lag_bytes",
            "lag",
            "The most that waits for it in one of them.",
            combined=_MOST,
        ),
        _mirror.counter(
            "vcproxy_mirror_followed", "followed", "Conversations that it has got to their end."
        ),
        _mirror.counter("vcproxy_mirror_lost", "lost", "Conversations that it has left early."),
        _mirror.counter(
            "vcproxy_mirror_dropped_messages", "dropped", "Messages that were dropped for it."
        ),
        _mirror.counter(
            "vcproxy_mirror_differences", "differences", "Replies that differed from the primary's."
        ),
        _mirror.counter(
            "vcproxy_mirror_not_compared", "not_compared", "Replies that could not be compared."
        ),
    ),
    "splits": (
        _split.gauge("vcproxy_split_sources", "sources", "Clients that share a connection."),
        _split.gauge(
            "vcproxy_split_waiting_sources",
            "waiting_sources",
            "Clients that wait for room to send more.",
        ),
        _split.gauge(
            "vcproxy_split_subscribed",
            "subscribed",
            "Clients that get what no request asks for.",
        ),
        _split.gauge("vcproxy_split_in_flight", "in_flight", "Requests at the server."),
        _split.gauge("vcproxy_split_open", "open", "Requests that are not answered yet."),
        _split.gauge(
            "vcproxy_split_longest_seconds",
            "longest",
            "How long the first of them waits.",
            combined=_MOST,
        ),
        _split.gauge(
            "vcproxy_split_orphans", "orphans", "Requests at the server whose client has gone."
        ),
        _split.gauge(
            "vcproxy_split_held_back", "held_back", "Requests that wait for the next connection."
        ),
        _split.gauge("vcproxy_split_unsent_bytes", "unsent", "Requests that are not sent yet."),
    ),
    "machines": (
        _machine.gauge(
            "vcproxy_machines", "count", "Machines in each state: sessions, tunnels, exchanges."
        ),
    ),
    "tls": (
        _certificate.gauge(
            "vcproxy_certificate_days_left",
            "days_left",
            "Days until the certificate in the file ends; below 0: since then.",
            combined=_LEAST,
        ),
        _certificate.gauge(
            "vcproxy_certificate_not_after_timestamp_seconds",
            "not_after",
            "When that is, in seconds since 1970, UTC.",
            combined=_LEAST,
        ),
        _certificate.gauge(
            "vcproxy_certificate_refused",
            "refused",
            "1 if the files have changed, and cannot be used: the earlier content is.",
            combined=_MOST,
            value=_any,
        ),
    ),
    "memory": (
        _thread.gauge(
            "vcproxy_memory_budget_bytes", "budget", "What may be held: `[proxy] memory`."
        ),
        _thread.gauge("vcproxy_memory_used_bytes", "used", "What is held for connections."),
        _thread.gauge("vcproxy_memory_buffers_bytes", "buffers", "Of this: data in buffers."),
        _thread.gauge(
            "vcproxy_memory_held_bytes",
            "held",
            "Of this: what sessions hold, such as incomplete messages.",
        ),
        _thread.gauge(
            "vcproxy_memory_tls_bytes", "tls", "Of this: TLS, at a fixed size for each connection."
        ),
        _thread.gauge(
            "vcproxy_memory_paused",
            "paused",
            "1 while a net thread pauses reading, because its budget is used up.",
            combined=_MOST,
        ),
        _thread.gauge(
            "vcproxy_process_resident_memory_bytes", "resident", "Memory of the processes."
        ),
    ),
    "threads": (
        _thread.gauge(
            "vcproxy_net_threads", "turns", "Net threads that have answered.", value=_one
        ),
        _thread.counter(
            "vcproxy_net_thread_turns", "turns", "Turns of the engines: polls of their sockets."
        ),
        _thread.gauge(
            "vcproxy_net_thread_lag_seconds",
            "lag",
            "The longest time that an event has waited, in the last second.",
            combined=_MOST,
        ),
        _thread.gauge("vcproxy_connections", "connections", "Open: to clients and to servers."),
        _thread.counter(
            "vcproxy_connections_opened",
            "accepted_or_opened",
            "Connections so far, to clients and to servers.",
        ),
        _thread.gauge("vcproxy_timers", "timers", "Timers that are set."),
        _thread.gauge("vcproxy_sources", "sources", "Open sources of events."),
        _thread.gauge("vcproxy_calls_pending", "calls", "Calls on other threads, not returned."),
        _thread.counter(
            "vcproxy_refused_messages", "refused_messages", "Messages that were refused as invalid."
        ),
    ),
    "process": (
        _info,
        _process.gauge(
            "vcproxy_process_uptime_seconds",
            "uptime",
            "Time since the start of the youngest process that serves.",
            combined=_LEAST,
        ),
        _process.gauge(
            "vcproxy_draining",
            "state",
            "1 while the proxy, or a worker, drains its connections before it ends.",
            combined=_MOST,
            value=_is("draining"),
        ),
        _process.gauge(
            "vcproxy_reload_generation",
            "generation",
            "How often a configuration was put in use: 1 after the start.",
            combined=_LEAST,
        ),
        _process.gauge(
            "vcproxy_reload_timestamp_seconds",
            "reloaded_at",
            "When one was last put in use or refused, in seconds since 1970, UTC.",
            combined=_MOST,
        ),
        _process.gauge(
            "vcproxy_reload_failed",
            "reload_error",
            "1 if the last reload was refused.",
            combined=_MOST,
            value=_any,
        ),
        _process.gauge("vcproxy_child_processes", "children", "Child processes that run."),
        _process.counter(
            "vcproxy_log_dropped_lines",
            "dropped_log_lines",
            "Lines of the log and of access logs that their targets did not take.",
        ),
    ),
}
"""The metrics that are columns, by the name of the question. Relays and refusals are none: see
vcproxy/control/questions/metrics.py."""

WORKERS: Final = Metric("vcproxy_workers", "gauge", "Processes of workers; none without workers.")

RESTARTS: Final = Metric(
    "vcproxy_worker_restarts", "counter", "How often a worker was started again after a failure."
)

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
        WORKERS,
        RESTARTS,
        MISSING,
    )
}
"""All metrics of the proxy, by name."""
