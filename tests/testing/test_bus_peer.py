"""BusPeer: what it expects, answers and refuses, simulated and on real sockets."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from vcproxy.bus.connections.blocking_client import BlockingClient
from vcproxy.bus.message.bus_message import BusMessage
from vcproxy.drivers.sim import Simulation
from vcproxy.engine.address import Address
from vcproxy.testing import BusPeer

SERVICE = Address.parse("tcp://service:1")


@pytest.fixture(params=["simulated", "unix", "tcp"])
def pair(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[BusPeer, BusPeer]]:
    """Two peers of one connection: one that connects, and one that listens."""
    if request.param == "simulated":
        with Simulation(seed=1) as sim:
            server = sim.server(SERVICE)
            client = sim.client(SERVICE)
            sim.run()
            yield BusPeer.simulated(client, sim), BusPeer.simulated(server.peers[0], sim)
    else:
        uri = "tcp://127.0.0.1:0" if request.param == "tcp" else f"unix:{tmp_path}/s"
        with BusPeer.listen(uri) as listening, BusPeer.connect(listening.address) as connecting:
            yield connecting, listening


def test_messages_are_expected_in_order(pair: tuple[BusPeer, BusPeer]) -> None:
    one, two = pair
    one.send("HELP")
    one.send(BusMessage("STOP", {"why": "a;b", "when": "now"}))
    two.expect("HELP")
    assert two.expect("STOP", why="a;b").get("when") == "now"
    two.send("BYE")
    one.expect("BYE")
    assert [message.command for message in two.messages] == ["HELP", "STOP"]


def test_another_message_is_a_failure(pair: tuple[BusPeer, BusPeer]) -> None:
    one, two = pair
    one.send("HELP list=all")
    one.send("STOP when=now")
    with pytest.raises(AssertionError, match="STOP is expected, but this came: HELP list=all"):
        two.expect("STOP")
    with pytest.raises(
        AssertionError, match="STOP when=later is expected, but this came: STOP when=now"
    ):
        two.expect("STOP", when="later")


def test_others_are_skipped_while_one_is_waited_for(pair: tuple[BusPeer, BusPeer]) -> None:
    one, two = pair
    for text in ("NEWS", "NEWS", "ALIVE serial=3", "NEWS"):
        one.send(text)
    assert two.wait_for("ALIVE").get("serial") == "3"
    two.expect("NEWS")


def test_messages_are_answered_by_themselves(pair: tuple[BusPeer, BusPeer]) -> None:
    one, two = pair
    two.answer("ALIVE", "ABSOLUTELY serial=1")
    for _ in range(2):
        one.send("ALIVE")
        one.expect("ABSOLUTELY", serial="1")
    one.send("HELP")
    two.expect("HELP")


def test_the_end_is_expected(pair: tuple[BusPeer, BusPeer]) -> None:
    one, two = pair
    one.send("BYE")
    one.close()
    with pytest.raises(AssertionError, match="the end is expected, but this came: BYE"):
        two.expect_end()
    two.expect("BYE")
    two.expect_end()
    with pytest.raises(
        AssertionError, match="MORE is expected, but the connection has ended; received so far: BYE"
    ):
        two.expect("MORE")


def test_nothing_comes(pair: tuple[BusPeer, BusPeer], monkeypatch: pytest.MonkeyPatch) -> None:
    one, _ = pair
    monkeypatch.setattr("vcproxy.testing.bus_peer.PATIENCE_S", 0.05)
    with pytest.raises(
        AssertionError, match="HELP is expected, but nothing came; received so far: nothing"
    ):
        one.expect("HELP")


def test_nobody_connects(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vcproxy.testing.bus_peer.PATIENCE_S", 0.05)
    with (
        BusPeer.listen(f"unix:{tmp_path}/s") as listening,
        pytest.raises(AssertionError, match="no peer has connected"),
    ):
        listening.send("HELP")


def test_a_blocking_client_is_served(tmp_path: Path) -> None:
    with BusPeer.listen(f"unix:{tmp_path}/s") as service:
        service.answer("HELP", "COMMANDS list=HELP")
        with BlockingClient(service.address) as client:
            assert client.request(BusMessage("HELP"), "COMMANDS").get("list") == "HELP"
        service.expect_end()
