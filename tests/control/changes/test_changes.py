"""Changes of an operator: what each does, what is refused, and that a recording repeats them."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.control.questions.asked_proxy import AskedProxy
from tests.engine.world import engine
from vcproxy.control.changes.change import Change, Changed, applied
from vcproxy.control.changes.kill import KILL_S
from vcproxy.engine.failures import Killed
from vcproxy.replay.playback.replay import Replay

CONFIGURATION = """
[[listener]]
name = "front"
bind = "tcp://proxy:1"
plugin = "forward"
upstream = "back"

[[listener]]
name = "web"
bind = "tcp://proxy:80"
plugin = "http_proxy"
upstream = "back"

[upstream.back]
servers = ["tcp://10.0.0.7:1", "tcp://10.0.0.8:1"]
balance = "least_connections"

[upstream.other]
servers = ["tcp://10.0.0.8:1", "tcp://10.0.0.9:1"]
"""


@pytest.fixture
def proxy(tmp_path: Path) -> AskedProxy:
    proxy = AskedProxy(tmp_path, CONFIGURATION)
    for number in (7, 8, 9):
        proxy.server(f"tcp://10.0.0.{number}:1")
    return proxy


def test_a_server_is_drained_and_used_again(proxy: AskedProxy) -> None:
    changed = proxy.change("SERVER", name="back/tcp://10.0.0.7:1", state="drain")
    assert changed == Changed(["back/tcp://10.0.0.7:1: state drain"])
    for _ in range(3):
        proxy.client("front", b"ping")
    assert proxy.columns("servers", "state", "connections", upstream="back") == [
        ("drain", 0),
        ("ready", 3),
    ]
    proxy.change("SERVER", name="tcp://10.0.0.7:1", state="ready", weight="5")
    assert proxy.columns("servers", "state", "weight", upstream="back") == [
        ("ready", 5),
        ("ready", 1),
    ]
    proxy.client("front", b"ping")
    assert proxy.columns("servers", "connections", upstream="back") == [(1,), (3,)]


@pytest.mark.parametrize(
    ("name", "full"),
    [
        ("10.0.0.7:1", "back/tcp://10.0.0.7:1"),
        ("other/10.0.0.8:1", "other/tcp://10.0.0.8:1"),
    ],
)
def test_a_server_is_named_as_top_shows_it_too(proxy: AskedProxy, name: str, full: str) -> None:
    assert proxy.change("SERVER", name=name, state="maint") == Changed([f"{full}: state maint"])


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"name": "x"}, "give a state or a weight: state=drain, weight=0"),
        ({"name": "x", "weight": "-1"}, "weight: `-1` is not a number from 0 to 256"),
        ({"name": "back/tcp://10.0.0.7:1", "weight": "999"}, "the weight must be 0 to 256"),
        ({"name": "back/tcp://10.0.0.7:1", "state": "off"}, 'there is no state "off"'),
        ({"name": "back/tcp://10.0.0.9:1", "state": "drain"}, 'back has no server "tcp://10.0.0.9'),
        ({"name": "tcp://10.0.0.8:1", "state": "drain"}, "write back/tcp://10.0.0.8:1 or other/"),
        ({"name": "10.0.0.8:1", "state": "drain"}, "write back/tcp://10.0.0.8:1 or other/"),
        ({"name": "0.0.0.7:1", "state": "drain"}, "there is no server `0.0.0.7:1`"),
        ({"name": "", "state": "drain"}, "there is no server ``"),
        ({"name": "nix", "state": "drain"}, "there is no server `nix`; there are: back/tcp://"),
    ],
)
def test_what_is_refused_changes_nothing(
    proxy: AskedProxy, arguments: dict[str, str], error: str
) -> None:
    before = proxy.ask("servers")
    changed = proxy.change("SERVER", **arguments)
    assert error in changed.error
    assert changed.lines == []
    assert proxy.ask("servers") == before


def test_a_killed_connection_ends_with_its_partner(proxy: AskedProxy) -> None:
    client = proxy.client("front", b"ping")
    other = proxy.client("front", b"ping")
    [first, *_] = proxy.ask("conns", kind="client")
    changed = proxy.change("KILL", conn=first["id"])
    assert changed.lines == [f"{first['id']}: {first['name']}"]
    proxy.sim.elapse(0.5)
    assert client.reset_seen
    assert not other.ended
    assert {each["id"] for each in proxy.ask("conns")} == {"0-3", "0-4"}
    assert any("ended by an operator (KILL 0-1)" in line for _, _, line in proxy.sim.log)


def test_a_connection_is_named_as_in_the_log_too(proxy: AskedProxy) -> None:
    proxy.client("front", b"ping")
    proxy.client("front", b"ping")
    [first, second] = proxy.ask("conns", kind="client")
    assert proxy.change("KILL", conn=first["name"]).lines == [f"{first['id']}: {first['name']}"]
    proxy.sim.elapse(0.5)
    assert proxy.change("KILL", conn=first["id"]).error == "there is no such connection"
    assert proxy.change("KILL", conn="9-1").error == "there is no such connection"
    assert "name a connection by its id" in proxy.change("KILL").error
    proxy.client("front", b"ping")
    server = proxy.ask("conns", id=second["partner"])[0]["name"]
    same = [each["id"] for each in proxy.ask("conns", name=server)]
    if len(same) > 1:
        assert f"name one by its id: {', '.join(same)}" in proxy.change("KILL", conn=server).error


def test_a_session_that_does_not_close_it_is_not_waited_for(tmp_path: Path) -> None:
    (tmp_path / "deaf.py").write_text(
        "from vcproxy.api import Event, Session, State\n\n\n"
        "class Deaf(Session):\n"
        "    needs_upstream = False\n"
        "    HERE = State(initial=True)\n\n"
        "    @HERE.enter\n"
        "    def begin(self):\n"
        "        self.client.do_io_read(self, None, self.engine.buffer())\n\n"
        "    @HERE.on(Event.ERROR)\n"
        "    def ignore(self, _):\n"
        '        """Keep it."""\n'
    )
    text = '[[listener]]\nname = "deaf"\nbind = "tcp://proxy:1"\nplugin = "deaf.py"\n'
    with AskedProxy(tmp_path, text) as proxy:
        client = proxy.client("deaf")
        [vc] = proxy.proxy.engine.vcs
        proxy.change("KILL", conn="0-1")
        proxy.sim.elapse(KILL_S / 2)
        assert isinstance(vc.error, Killed)
        assert not vc.closed
        proxy.sim.elapse(KILL_S)
        assert vc.closed
        assert client.reset_seen
        assert proxy.ask("conns") == []


def test_a_drained_listener_refuses_and_its_connections_go_on(proxy: AskedProxy) -> None:
    client = proxy.client("front", b"ping")
    idle = proxy.client("web", b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    assert (
        "there is no listener `x`; there are: front, web"
        in proxy.change("DRAIN", listener="x").error
    )
    changed = proxy.change("DRAIN", listener="front")
    assert changed.lines == ["front: accepts no more connections, until a reload"]
    late = proxy.client("front")
    assert isinstance(late.error, ConnectionRefusedError)
    assert not client.ended
    assert dict(proxy.columns("listeners", "listener", "state")) == {
        "front": "drained",
        "web": "open",
    }
    assert not idle.ended
    assert len(proxy.change("DRAIN").lines) == 2
    proxy.proxy.reload(proxy.configuration)
    proxy.sim.elapse(0.1)
    assert proxy.client("front").error is None
    assert dict(proxy.columns("listeners", "listener", "state"))["front"] == "open"


def test_a_recording_contains_the_changes_and_replay_repeats_them(tmp_path: Path) -> None:
    log = tmp_path / "run.log"
    with AskedProxy(tmp_path, CONFIGURATION, record=log) as proxy:
        for number in (7, 8):
            proxy.server(f"tcp://10.0.0.{number}:1")
        proxy.change("SERVER", name="back/tcp://10.0.0.7:1", state="drain")
        client = proxy.client("front", b"ping")
        proxy.client("front", b"ping")
        assert proxy.change("SERVER", name="nix", state="drain").error
        proxy.change("KILL", conn="0-1")
        proxy.sim.elapse(2.0)
        assert client.reset_seen
        proxy.change("DRAIN", listener="front")
        proxy.sim.elapse(2.0)
    replay = Replay(log)
    while replay.step():
        pass
    assert [vc.id for vc in replay.engine.vcs] == ["0-3", "0-4"]


def test_a_change_that_fails_does_not_end_the_net_thread(proxy: AskedProxy) -> None:
    def fail(*_: object) -> list[str]:
        raise TypeError("mistake")

    log: list[str] = []
    outcome = applied(Change("MEND", fail, ""), engine(log), proxy.listeners, {})
    assert outcome == ((), ["MEND has failed: the log has its error"])
    assert log == ["error: control: the change MEND has failed (mistake)"]
