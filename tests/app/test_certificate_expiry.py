"""The daily report of certificates that should be renewed."""

from __future__ import annotations

import datetime
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, cast

import trustme

from vcproxy.app.reloads import DAY_S, Reloads
from vcproxy.config.loader import load
from vcproxy.drivers.epoll.offload import Offload
from vcproxy.drivers.sim import Simulation
from vcproxy.listeners.listeners import Listeners
from vcproxy.listeners.service_manager import ServiceManager
from vcproxy.testing.configured import SimHost

if TYPE_CHECKING:
    from vcproxy.app.logs.log import LineLog

PROXY = """\
[[listener]]
name = "web"
bind = "tls://127.0.0.1:1"
plugin = "echo"
tls = {{ certificate = "{0}/web.pem", key = "{0}/web.key", client_ca = "{0}/ca.pem" }}
[[listener]]
name = "out"
bind = "tcp://127.0.0.1:2"
plugin = "forward"
upstream = "db"
[upstream.db]
servers = ["tls://10.0.0.7:1"]
tls = {{ ca = "{0}/ca.pem", certificate = "{0}/db.pem", key = "{0}/db.key" }}
"""


def test_it_is_logged_once_a_day(tmp_path: Path) -> None:
    now = datetime.datetime.now(datetime.UTC)
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    for name, days in (("web", 16), ("db", 300)):
        end = now + datetime.timedelta(days=days, hours=1)
        issued = authority.issue_cert(f"{name}.example", not_after=end)
        issued.cert_chain_pems[0].write_to_path(tmp_path / f"{name}.pem")
        issued.private_key_pem.write_to_path(tmp_path / f"{name}.key")
    file = tmp_path / "proxy.toml"
    file.write_text(PROXY.format(tmp_path))
    lines: list[str] = []
    due: list[tuple[float, Callable[[], None]]] = []

    def log(level: str, text: str, error: BaseException | None = None) -> None:
        lines.append(f"{level} {text}")

    with Simulation(0) as sim:
        engine = sim.driver().engine
        engine.wall = int(now.timestamp())
        reloads = Reloads(
            load(file),
            Listeners(SimHost(sim.drivers[0]), [engine], print),
            [engine],
            recording=None,
            offload=Offload(),
            service_manager=ServiceManager(log),
            log=cast("LineLog", log),
            after=lambda seconds, call: due.append((seconds, call)),
        )
        reloads.report_expiry()
        told = []
        for _ in range(20):
            delay, call = due.pop()
            assert (delay, due) == (DAY_S, [])
            engine.wall += int(delay)
            call()
            told.append(lines.copy())
            lines.clear()
    path = tmp_path / "web.pem"
    shown = [line.partition(": the ")[2].rpartition(": ")[0] for day in told for line in day]
    assert told[:2] == [[], []]
    assert {len(day) for day in told[2:]} == {1}
    assert told[2][0].startswith(f"warning web: the certificate {path} expires in 13 days: 20")
    assert shown[:12] == [f"certificate {path} expires in {days} days" for days in range(13, 1, -1)]
    assert shown[-1] == f"certificate {path} has expired, 3 days ago"
