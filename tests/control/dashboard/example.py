"""What a proxy with some of everything answers, for tests of the picture and of the page."""

from __future__ import annotations

import math
from typing import Any

from vcproxy.control.dashboard.samples import Sample

Rows = dict[str, list[dict[str, Any]]]


def process(worker: int = 0, **other: Any) -> dict[str, Any]:
    """Return a row of `process`."""
    return {
        "worker": worker,
        "role": "worker" if worker else "proxy",
        "pid": 4711 + worker,
        "version": "0.1.0",
        "state": "serving",
        "uptime": 93784.0,
        "configuration": "/etc/vcproxy/proxy.toml",
        "generation": 3,
        "reloaded_at": 1796000000.0,
        "reload_error": "",
        "connections": 0,
        "children": 0,
        "lag": 0.0008,
        "threads": [],
        "dropped_log_lines": 0,
        **other,
    }


def listener(name: str, plugin: str, **other: Any) -> dict[str, Any]:
    """Return a row of `listeners`."""
    return {
        "worker": 0,
        "listener": name,
        "addresses": [f"tcp://0.0.0.0:{8000 + len(name)}"],
        "plugin": plugin,
        "state": "open",
        "open": 0,
        "accepted": 0,
        "refused": 0,
        "bytes_in": 0,
        "bytes_out": 0,
        "max_connections": 0,
        "max_per_client": 0,
        "tls": False,
        **other,
    }


def server(upstream: str, name: str, **other: Any) -> dict[str, Any]:
    """Return a row of `servers`."""
    return {
        "worker": 0,
        "upstream": upstream,
        "server": name,
        "state": "ready",
        "weight": 1,
        "backup": False,
        "up": 1,
        "threads": 1,
        "down": "",
        "connections": 0,
        "idle": 0,
        "failures": 0,
        "ejected": 0,
        "check": "up",
        "bytes_in": 0,
        "bytes_out": 0,
        **other,
    }


def sink(tunnel: str, name: str, **other: Any) -> dict[str, Any]:
    """Return a row of `sinks`."""
    return {
        "worker": 0,
        "thread": "net-0",
        "tunnel": tunnel,
        "sink": name,
        "state": "up",
        "lag": 0,
        "max_lag": 1 << 20,
        "on_lag": "drop_oldest",
        "sent": 0,
        "dropped_messages": 0,
        "dropped_bytes": 0,
        "received": 0,
        "reconnects": 0,
        "required": False,
        **other,
    }


def flow(listener: str, **other: Any) -> dict[str, Any]:
    """Return a row of `flows`."""
    return {
        "worker": 0,
        "listener": listener,
        "upstream": "",
        "server": "",
        "state": "RELAYING",
        "tunnel": "TwoWayTunnel",
        "connections": 0,
        "bridged": 0,
        **other,
    }


def busy(second: float) -> Sample:
    """Return what a proxy with some of everything answers after so many seconds."""

    def total(rate: float, phase: float = 0.0) -> int:
        """Return a count that grows by `rate` a second, with waves."""
        return int(rate * (second + 4 * math.sin(second / 9 + phase)) + 10 * rate)

    rows: Rows = {
        "process": [process(uptime=93784.0 + second)],
        "memory": [{"worker": 0, "thread": "net-0", "used": 41 << 20, "budget": 256 << 20,
                    "resident": 97 << 20}],
        "listeners": [
            listener(
                "web", "http_proxy", addresses=["tls://0.0.0.0:443", "tcp://0.0.0.0:80"], tls=True,
                open=1204, accepted=total(85), max_connections=5000,
                bytes_in=total(1.9e6), bytes_out=total(24.6e6),
            ),
            listener(
                "db", "forward", addresses=["tcp://10.0.0.1:5432"],
                open=38, accepted=total(0.6), bytes_in=total(3.1e5), bytes_out=total(4.4e6, 2),
            ),
            listener(
                "orders", "validate", addresses=["tcp://0.0.0.0:7000"],
                open=12, accepted=total(2, 1), bytes_in=total(2.2e4, 3), bytes_out=total(9e3),
            ),
            listener(
                "quotes", "relay", addresses=["udp://239.1.1.1:5000", "tcp://0.0.0.0:6000"],
                open=4, accepted=40, bytes_in=total(6.4e5, 1), bytes_out=total(1.9e6, 1),
            ),
            listener("admin", "http_proxy", addresses=["tcp://127.0.0.1:8443"],
                     open=2, accepted=total(0.2), bytes_in=total(900), bytes_out=total(2.1e4)),
            listener("echo", "echo", addresses=["unix:/run/echo.sock"]),
        ],
        "servers": [
            server("api", "tcp://10.0.1.1:8080", connections=31, idle=12,
                   bytes_in=total(13e6), bytes_out=total(1e6)),
            server("api", "tcp://10.0.1.2:8080", connections=28, idle=11,
                   bytes_in=total(10.2e6, 1), bytes_out=total(8e5)),
            server("api", "tcp://10.0.1.3:8080", up=0, check="connection refused",
                   down="its health check: connection refused", failures=7),
            server("api", "tcp://10.0.1.9:8080", backup=True),
            server("postgres", "tcp://10.0.2.1:5432", connections=38,
                   bytes_in=total(4.4e6, 2), bytes_out=total(3.1e5)),
            server("postgres", "tcp://10.0.2.2:5432", state="maint"),
            server("desk", "unix:/run/desk.sock", connections=12,
                   bytes_in=total(9e3), bytes_out=total(2.2e4, 3)),
        ],
        "queues": [{"worker": 0, "upstream": "postgres", "waiting": 3}],
        "flows": [
            flow("web", upstream="api", server="tcp://10.0.1.1:8080", connections=19,
                 state="RESPONSE", tunnel="MessageTunnel"),
            flow("web", upstream="api", server="tcp://10.0.1.2:8080", connections=17,
                 state="RESPONSE", tunnel="MessageTunnel"),
            flow("web", upstream="api", connections=1168, state="IDLE", tunnel=""),
            flow("admin", upstream="desk", connections=2, state="IDLE", tunnel=""),
            flow("db", upstream="postgres", server="tcp://10.0.2.1:5432", connections=38,
                 bridged=31),
            flow("orders", upstream="desk", server="unix:/run/desk.sock", connections=9),
            flow("orders", upstream="desk", server="unix:/run/desk.sock", connections=3,
                 state="CHECKING", tunnel=""),
            flow("quotes", state="PASSING", connections=4, tunnel="OneWayMultiTunnel"),
        ],
        "sinks": [
            sink("quotes", "tcp://10.0.3.1:9000", sent=total(6.4e5, 1), lag=4096),
            sink("quotes", "10.0.3.7:51820", sent=total(6.4e5, 1), lag=18 << 10),
            sink("quotes", "10.0.3.9:40112", sent=total(2.9e5, 1), lag=912 << 10, state="lags",
                 dropped_messages=total(14)),
        ],
        "mirrors": [
            {"worker": 0, "listener": "orders", "mirror": "tcp://10.0.4.1:7000", "open": 12,
             "lag": 0, "followed": total(2), "lost": 0, "dropped": 0, "differences": 3,
             "not_compared": 0},
        ],
        "tls": [{"worker": 0, "context": "web", "subject": "shop.example",
                 "names": ["shop.example", "*.shop.example"], "days_left": 9.4}],
        "errors": [
            {"worker": 0, "at": 1796000000.0 + 40, "listener": "web", "client": "203.0.113.9:51002",
             "reason": "a space before the colon of a field",
             "text": "GET / HTTP/1.1\\r\\nHost : shop.example", "mark": 20},
            {"worker": 0, "at": 1796000000.0, "listener": "web", "client": "203.0.113.77:40110",
             "reason": "a field is longer than 16 KiB", "text": "", "mark": None},
        ],
    }  # fmt: skip
    return Sample(second, rows)
