"""The share of each worker: memory and limits divided, and what runs in worker 1 only."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from vcproxy.config import workers
from vcproxy.config.errors import ConfigError
from vcproxy.config.loader import Configuration, load
from vcproxy.config.notes import notes
from vcproxy.config.tables.process import SuperviseTable

SITE = """
[proxy]
workers = 3
memory = "99MiB"

[[listener]]
name = "web"
bind = "tcp://127.0.0.1:0"
plugin = "forward"
upstream = "app"
limits = { max_connections = 100, max_per_client = 6 }

[[listener]]
name = "news"
bind = "tcp://127.0.0.1:0"
plugin = "relay"
options = { subscribers = "tcp://127.0.0.1:0" }
limits = { max_connections = 100 }

[[listener]]
name = "batch"
bind = "tcp://127.0.0.1:0"
plugin = "split"
upstream = "device"

[[listener]]
name = "console"
bind = "stdio:"
plugin = "echo"

[[listener]]
name = "group"
bind = "udp://239.1.2.3:5000"
plugin = "echo"

[upstream.app]
servers = ["tcp://127.0.0.1:1"]
max_connections = 10
queue = { size = 2 }
pool = { idle = 4 }
check = {}

[upstream.device]
servers = ["tcp://127.0.0.1:2"]
max_connections = 1
"""


@pytest.fixture
def loaded(tmp_path: Path) -> Configuration:
    """The configuration above."""
    return load(written(tmp_path, SITE))


def written(folder: Path, text: str) -> Path:
    """Write a configuration file."""
    file = folder / "proxy.toml"
    file.write_text(text)
    return file


def test_parts_add_up_to_the_whole_and_none_is_zero() -> None:
    for total in range(60):
        for of in range(1, 9):
            parts = [workers.part(total, number, of) for number in range(1, of + 1)]
            assert max(parts) - min(parts) <= 1
            assert sum(parts) == (total if total >= of or not total else of)


def test_memory_and_limits_are_divided(loaded: Configuration) -> None:
    shares = [workers.share(loaded, number, 3).settings for number in (1, 2, 3)]
    assert [share.proxy.workers for share in shares] == [1, 1, 1]
    assert sum(share.proxy.memory for share in shares) == 99 << 20
    limits = [share.listener[0].limits for share in shares]
    assert [each.max_connections for each in limits] == [34, 33, 33]
    assert [each.max_per_client for each in limits] == [2, 2, 2]
    apps = [share.upstream["app"] for share in shares]
    assert [each.max_connections for each in apps] == [4, 3, 3]
    assert [each.queue.size for each in apps] == [1, 1, 1]  # none is 0
    assert [each.pool.idle for each in apps] == [2, 1, 1]


def test_what_needs_one_process_is_whole_in_worker_1(loaded: Configuration) -> None:
    assert workers.only_in_worker_1(loaded) == {
        "news": "a program gets all connections of its listener",
        "batch": "its clients share one connection to the server",
        "console": "there is only one standard input",
        "group": "each socket of a multicast group gets every datagram",
    }
    first, second = (workers.share(loaded, number, 3).settings for number in (1, 2))
    assert [each.name for each in first.listener] == ["web", "news", "batch", "console", "group"]
    assert first.listener[1].limits.max_connections == 100
    assert [each.name for each in second.listener] == ["web"]
    assert list(first.upstream) == ["app", "device"]
    assert first.upstream["device"] == loaded.settings.upstream["device"]
    assert list(second.upstream) == ["app"]


def test_an_upstream_that_every_worker_uses_is_divided(tmp_path: Path) -> None:
    """The upstream is divided even if a listener of worker 1 uses it too."""
    text = SITE.replace('upstream = "device"', 'upstream = "app"').partition("[upstream.device]")[0]
    shares = [workers.share(load(written(tmp_path, text)), number, 3) for number in (1, 2, 3)]
    assert [each.settings.upstream["app"].max_connections for each in shares] == [4, 3, 3]


def test_a_limit_below_the_number_of_workers_is_refused(tmp_path: Path) -> None:
    text = SITE.replace("max_per_client = 6", "max_per_client = 2").replace("= 10\n", "= 2\n")
    with pytest.raises(ConfigError) as caught:
        load(written(tmp_path, text.replace('upstream = "device"', 'upstream = "app"')))
    lines = [line.partition("proxy.toml:")[2] for line in str(caught.value).splitlines()]
    why = "and it is divided among 3 workers: write 3 or more, or fewer workers"
    assert [line for line in lines if "divided" in line] == [
        f"11:35: listener.web.limits.max_per_client: is 2, {why}",
        f"38:1: upstream.app.max_connections: is 2, {why}",
        f"45:1: upstream.device.max_connections: is 1, {why}",
    ]


def test_a_limit_for_worker_1_alone_may_be_1(tmp_path: Path) -> None:
    load(written(tmp_path, SITE))


def test_a_recording_is_refused(tmp_path: Path) -> None:
    text = SITE + '\n[record]\nfile = "run.log"\n'
    with pytest.raises(ConfigError, match=r"proxy\.workers: must be 1 with \[record\]"):
        load(written(tmp_path, text))


def test_auto_is_the_number_of_processors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    auto = load(written(tmp_path, SITE.replace("workers = 3", 'workers = "auto"')))
    monkeypatch.setattr("os.sched_getaffinity", lambda _: {0, 2, 5, 7})
    assert workers.count(auto.settings) == 4


def test_the_check_shows_the_shares(loaded: Configuration) -> None:
    assert dict(notes(loaded)) == {
        "proxy.workers": "3 processes, each with its own descriptor limit",
        "proxy.memory": "divided among 3 workers: 33MiB for each",
        "listener.news": "runs in worker 1 only: a program gets all connections of its listener",
        "listener.batch": "runs in worker 1 only: its clients share one connection to the server",
        "listener.console": "runs in worker 1 only: there is only one standard input",
        "listener.group": "runs in worker 1 only: "
        "each socket of a multicast group gets every datagram",
        "listener.web.limits.max_connections": "divided among 3 workers: 34 or 33 for each",
        "listener.web.limits.max_per_client": "divided among 3 workers: 2 for each",
        "upstream.app.max_connections": "divided among 3 workers: 4 or 3 for each",
        "upstream.app.check": "each of 3 workers checks the servers",
    }


def test_what_only_several_workers_use_is_noted_for_one(tmp_path: Path) -> None:
    file = tmp_path / "proxy.toml"
    text = '[proxy]\nworker_timeout = "5s"\n[supervise]\nintensity = 3\nperiod = "1m"\n'
    text += '[[listener]]\nname = "in"\nbind = "tcp://127.0.0.1:0"\nplugin = "echo"\n'
    file.write_text(text)
    nothing = "no effect with workers = 1: nothing replaces one process"
    keys = ("proxy.worker_timeout", "supervise.intensity", "supervise.period")
    assert dict(notes(load(file))) == dict.fromkeys(keys, nothing)
    file.write_text(text.replace("[proxy]", "[proxy]\nworkers = 2"))
    assert not set(keys) & dict(notes(load(file))).keys()


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.5", "[::1]"])
def test_processes_may_be_listed_at_any_loopback_address(host: str) -> None:
    table = SuperviseTable.model_validate({"bind": f"udp://{host}:42000"})
    assert str(table.bind) == f"udp://{host}:42000"


@pytest.mark.parametrize("address", ["udp://127.evil.example:1", "tcp://127.0.0.1:1"])
def test_processes_are_listed_nowhere_else(address: str) -> None:
    with pytest.raises(ValidationError, match="the list is given to all who ask"):
        SuperviseTable.model_validate({"bind": address})
