"""The bundled split: many clients, one server connection, each gets its own answers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.sessions.world import World, shout, silent
from vcproxy.config.errors import OptionsError
from vcproxy.config.options import read_options
from vcproxy.drivers.sim import Peer, Simulation
from vcproxy.plugins.split import Split

KEYED: dict[str, Any] = {"framing": "json-lines", "key": "id", "answer": "no id", "keep": True}


def world_of(sim: Simulation, options: dict[str, Any], script: Any) -> World:
    made, _ = read_options(Split, options, Path())
    return World(sim, Split, script, options=made)


def test_by_order() -> None:
    with Simulation(1) as sim:
        world = world_of(sim, {}, shout)
        clients = [world.client(b"a%d\n" % n, b"b%d\n" % n) for n in range(5)]
        sim.run(until=lambda: all(len(client.received) == 6 for client in clients))
        assert clients[3].received == b"A3\nB3\n"
        assert len(world.servers) == 1


def test_by_key_in_any_order_and_in_arrays() -> None:
    def answer(peer: Peer, _: bytes) -> None:
        requests = [json.loads(line) for line in peer.received.splitlines()]
        if len(requests) == 3:
            one, two, three = ({"id": request["id"], "ok": True} for request in requests)
            peer.send(json.dumps([three, one]).encode() + b"\n")
            peer.send(json.dumps(two).encode() + b"\n")

    with Simulation(1) as sim:
        world = world_of(sim, KEYED, answer)
        ids = [1, True, "1"]  # three keys
        clients = [world.client(json.dumps({"id": each}).encode() + b"\n") for each in ids]
        sim.run(until=lambda: all(client.received for client in clients))
        assert [json.loads(client.received)["id"] for client in clients] == ids


def test_several_parts() -> None:
    def answer(peer: Peer, _: bytes) -> None:
        peer.send(b'{"id":1,"end":false}\n[{"id":1,"end":true}]\n{"id":1,"end":true}\n')

    with Simulation(1) as sim:
        world = world_of(sim, {**KEYED, "last": "end"}, answer)
        client = world.client(b'{"id":1}\n')
        sim.run(until=lambda: world.service.counts["orphan"] == 1)
        sim.run(until=lambda: client.received.count(b"\n") == 2)


def test_a_request_without_the_key_is_answered_by_the_proxy() -> None:
    with Simulation(1) as sim:
        world = world_of(sim, KEYED, shout)
        client = world.client(b'{}\nnonsense\n[1]\n{"id":')
        client.end()
        sim.run(until=lambda: client.ended)
        assert client.received == b"no id\n" * 3
        assert world.servers == []


def test_replies_without_the_key_are_orphans_and_the_request_times_out() -> None:
    with Simulation(1) as sim:
        options = {**KEYED, "timeout": "5s", "unanswered": "sorry"}
        world = world_of(sim, options, lambda peer, _: peer.send(b'nonsense\n{"id":2}\n7\n'))
        client = world.client(b'{"id":1}\n')
        sim.run(until=lambda: client.received == b"sorry\n")
        assert world.service.counts["orphan"] == 3


def test_without_an_unanswered_message_the_client_is_closed() -> None:
    with Simulation(1) as sim:
        world = world_of(sim, {**KEYED, "timeout": "5s"}, silent)
        client = world.client(b'{"id":1}\n')
        sim.run(until=lambda: client.ended)
        assert sim.now == pytest.approx(5.0), "30 s are for waiting until it is sent"


def test_with_renumber_clients_may_use_the_same_key() -> None:
    def answer(peer: Peer, data: bytes) -> None:
        for line in reversed(data.splitlines()):
            peer.send(json.dumps({**json.loads(line), "ok": True}).encode() + b"\n")

    with Simulation(1) as sim:
        world = world_of(sim, {**KEYED, "renumber": True}, answer)
        clients = [
            world.client(json.dumps({"id": key, "of": n}).encode() + b"\n")
            for n, key in enumerate((1, 1, "1", [1]))
        ]
        sim.run(until=lambda: all(client.received for client in clients))
        assert [json.loads(client.received) for client in clients] == [
            {"id": key, "of": n, "ok": True} for n, key in enumerate((1, 1, "1", [1]))
        ]
        sent = [json.loads(line)["id"] for line in world.at_server.splitlines()]
        assert sorted(sent) == [0, 1, 2, 3]


def test_one_request_at_a_time_within_its_times() -> None:
    options = {
        **KEYED, "in_flight": 1, "timeout": "5s", "queue_timeout": "7s", "unanswered": "sorry",
        "silences": 2, "attempts": 2, "renumber": True,
    }  # fmt: skip
    with Simulation(1) as sim:
        world = world_of(sim, options, silent)
        clients = [world.client(b'{"id":%d}\n' % n) for n in range(3)]
        sim.elapse(6.9)
        assert world.at_server == b'{"id": 0}\n{"id": 0}\n', "sent again after 5 s"
        sim.run(until=lambda: all(client.received == b"sorry\n" for client in clients))
        assert sim.now == pytest.approx(10.0)
        assert len(world.servers) == 1


def test_messages_without_a_key_go_to_all_clients() -> None:
    with Simulation(1) as sim:
        world = world_of(sim, {**KEYED, "orphans": "broadcast"}, silent)
        first, second = world.client(b'{"id":1}\n'), world.client()
        sim.run(until=lambda: bool(world.at_server))
        world.servers[0].send(b'{"method":"news"}\n[{"id":1,"ok":true}]\n{"id":2}\n')
        sim.run(until=lambda: b"ok" in first.received and bool(second.received))
        assert first.received == b'{"method":"news"}\n{"id": 1, "ok": true}\n'
        assert second.received == b'{"method":"news"}\n'


def test_renumber_needs_a_key() -> None:
    with pytest.raises(OptionsError, match="renumber needs key"):
        read_options(Split, {"renumber": True}, Path())


def test_an_unanswered_text_that_is_not_one_message_is_refused() -> None:
    with pytest.raises(OptionsError, match="delimiter"):
        read_options(Split, {"unanswered": "two\nlines"}, Path())
