"""Splitters: one server connection, many sources, and each gets what is its own or an end."""

from __future__ import annotations

import json
from collections.abc import Hashable, Iterator
from random import Random

import pytest

from tests.business.world import World, shout, silent
from vcproxy.business.framing import lines
from vcproxy.business.hub import Hub
from vcproxy.business.sharing import Part
from vcproxy.business.splitter import Splitter
from vcproxy.business.verdict import Reject, Resend
from vcproxy.drivers.sim import Faults, Peer, Simulation, seeds
from vcproxy.testing.machines import check_machine


class ByKey(Splitter):
    """Requests "KEY ..."; a reply holds parts "KEY word", between semicolons; "KEY end" is last."""

    framing = lines(limit=1000)
    timeout_s = 5.0

    def key(self, request: bytes) -> Hashable | Reject | Resend:
        key, _, rest = request.partition(b" ")
        if rest == b"crash":
            raise KeyError("crash")
        if rest == b"unhashable":
            return [key]  # type: ignore[return-value]
        return key if rest else Resend(b"what?\n")

    def split(self, reply: bytes) -> Iterator[Part]:
        for part in reply.split(b";"):
            if part:
                key, _, rest = part.partition(b" ")
                yield Part(key, part, last=rest == b"end" or rest.isupper())


class Telling(ByKey):
    """It says so when there is no answer."""

    def unanswered(self, request: bytes, why: str) -> bytes:
        return b"no answer to " + request


class InOrder(Splitter):
    timeout_s = 5.0

    def unanswered(self, request: bytes, why: str) -> bytes:
        return b"no answer to " + request


def test_they_are_sound_machines() -> None:
    assert check_machine(Splitter) == {
        f"TALKING {key}" for key in ("READ_READY", "WRITE_READY", "EOS", "Room")
    }
    holes = check_machine(Hub)
    assert not {hole for hole in holes if hole.startswith("SERVING")} - {"SERVING CONNECTED"}
    assert not {"IDLE Request", "CONNECTING Request", "CONNECTING ERROR"} & holes


def test_each_request_in_order_gets_its_reply() -> None:
    with Simulation(1, Faults(short=0.5, one_byte=0.3, latency=(0.0, 0.1))) as sim:
        world = World(sim, InOrder, shout)
        clients = [world.client(b"a%d\nb%d\n" % (n, n)) for n in range(20)]
        for client in clients:
            client.end()
        sim.run(until=lambda: all(client.ended for client in clients))
        for n, client in enumerate(clients):
            assert client.received == b"A%d\nB%d\n" % (n, n)
        assert len(world.servers) == 1
        for client in clients:
            client.close()
        world.settle()
        assert world.service.shared == {}


def test_a_reply_is_split_among_several_sources_and_a_request_may_get_several_parts() -> None:
    def batch(peer: Peer, data: bytes) -> None:
        if peer.received.count(b"\n") == 2:
            peer.send(b"k2 one;k1 one;k2 two\nk1 end;k2 end\n")

    with Simulation(1) as sim:
        world = World(sim, ByKey, batch)
        first, second = world.client(b"k1 ask\n"), world.client(b"k2 ask\n")
        sim.run(until=lambda: b"end" in first.received and b"end" in second.received)
        assert first.received == b"k1 one\nk1 end\n"
        assert second.received == b"k2 one\nk2 two\nk2 end\n"


def test_equal_keys_of_two_sources_are_never_mixed_up() -> None:
    with Simulation(1) as sim:
        world = World(sim, ByKey, silent)
        first = world.client(b"1 first\n")
        sim.elapse(1.0)
        second = world.client(b"1 second\n")
        sim.elapse(1.0)
        assert world.at_server == b"1 first\n"
        world.servers[0].send(b"1 FIRST\n")
        sim.run(until=lambda: world.at_server == b"1 first\n1 second\n")
        world.servers[0].send(b"1 SECOND\n")
        sim.run(until=lambda: second.received == b"1 SECOND\n")
        assert first.received == b"1 FIRST\n"


def test_without_a_request_no_server_is_touched() -> None:
    with Simulation(1) as sim:
        world = World(sim, ByKey, shout)
        client = world.client(b"huh\n")
        client.end()
        sim.run(until=lambda: client.ended)
        assert client.received == b"what?\n"
        assert world.servers == []


def test_a_rejection_waits_for_its_turn() -> None:
    with Simulation(1) as sim:
        world = World(sim, ByKey, silent)
        client = world.client(b"1 a\nhuh\n2 b\n")
        sim.run(until=lambda: world.at_server == b"1 a\n")
        world.servers[0].send(b"1 A\n")
        sim.run(until=lambda: world.at_server == b"1 a\n2 b\n")
        assert client.received == b"1 A\nwhat?\n"


def test_orphans_are_counted_and_dropped() -> None:
    with Simulation(1) as sim:
        world = World(sim, ByKey, lambda peer, _: peer.send(b"7 end;1 end;8 end\n;\n"))
        client = world.client(b"1 ask\n")
        sim.run(until=lambda: client.received == b"1 end\n")
        assert world.service.counts["orphan"] == 3
        assert len(world.servers) == 1


def test_orphans_may_end_the_connection() -> None:
    class Strict(Telling):
        orphans = "reconnect"

    with Simulation(1) as sim:
        world = World(sim, Strict, lambda peer, _: peer.send(b"7 end\n"))
        client = world.client(b"1 ask\n")
        sim.run(until=lambda: client.received == b"no answer to 1 ask\n")
        assert "nobody asked for" in world.logged[-1]


def test_a_source_that_has_gone_loses_only_its_parts() -> None:
    with Simulation(1) as sim:
        world = World(sim, ByKey, silent)
        going, staying = world.client(b"1 ask\n"), world.client(b"2 ask\n")
        sim.run(until=lambda: len(world.at_server) == 12)
        going.reset()
        sim.elapse(1.0)
        world.servers[0].send(b"1 one;2 one\n1 end\n2 end\n")
        sim.run(until=lambda: staying.received == b"2 one\n2 end\n")
        assert world.service.counts["late"] == 2
        assert world.service.counts["orphan"] == 0


def test_a_request_that_is_not_answered_in_time_is_told_so_and_its_answer_goes_to_nobody() -> None:
    with Simulation(1) as sim:
        world = World(sim, InOrder, silent)
        slow = world.client(b"slow\n")
        sim.run(until=lambda: slow.received == b"no answer to slow\n")
        assert sim.now == pytest.approx(5.0)
        quick = world.client(b"quick\n")
        sim.run(until=lambda: world.at_server == b"slow\nquick\n")
        world.servers[0].send(b"SLOW\nQUICK\n")
        sim.run(until=lambda: quick.received == b"QUICK\n")
        assert slow.received == b"no answer to slow\n"
        assert world.service.counts["timed_out"] == 1
        assert world.service.counts["late"] == 1


def test_a_place_that_is_never_given_back_costs_the_server_its_connection() -> None:
    with Simulation(1) as sim:
        world = World(sim, Telling, silent)
        first = world.client(b"1 lost\n")
        sim.run(until=lambda: first.received == b"no answer to 1 lost\n")
        second = world.client(b"1 behind\n")
        sim.run(until=lambda: second.received == b"no answer to 1 behind\n")
        third = world.client(b"1 again\n")
        sim.run(until=lambda: len(world.servers) == 2 and bool(world.servers[1].received))
        assert world.at_server == b"1 lost\n1 again\n"
        world.servers[1].send(b"1 end\n")
        sim.run(until=lambda: third.received == b"1 end\n")


def test_many_who_ask_and_leave_cost_a_server_that_never_answers_its_connection() -> None:
    with Simulation(1) as sim:
        world = World(sim, InOrder, silent)
        staying = world.client()
        for _ in range(70):
            going = world.client(b"a\n" * Splitter.window)
            sim.elapse(0.01)
            going.reset()
        sim.run(until=lambda: bool(world.servers) and world.servers[0].ended)
        assert any("leaves requests unanswered" in line for line in world.logged)
        staying.reset()
        world.settle()


def test_requests_that_wait_behind_a_lost_one_do_not_stop_the_others() -> None:
    class Wide(Telling):
        window = 1000

    with Simulation(1) as sim:
        world = World(sim, Wide, silent)
        stuck = world.client(b"1 lost\n" + (b"1 " + b"x" * 900 + b"\n") * 400)
        sim.run(until=lambda: stuck.received.count(b"\n") == 401, limit=100.0)
        other = world.client(b"2 ask\n")
        sim.run(until=lambda: b"2 ask" in world.at_server)
        world.servers[-1].send(b"2 end\n")
        sim.run(until=lambda: other.received == b"2 end\n")


@pytest.mark.parametrize("how", ["close", "reset"])
def test_when_the_server_dies_each_source_gets_an_answer_or_a_close(how: str) -> None:
    with Simulation(1) as sim:
        world = World(sim, Telling, silent)
        clients = [world.client(b"%d ask\n" % n) for n in range(10)]
        sim.run(until=lambda: world.at_server.count(b"\n") == 10)
        getattr(world.servers[0], how)()
        sim.run(until=lambda: all(client.received for client in clients))
        assert clients[7].received == b"no answer to 7 ask\n"
        assert world.service.counts["unanswered"] == 10
        clients[3].send(b"3 again\n")
        sim.run(until=lambda: len(world.servers) == 2)
        world.servers[1].send(b"3 AGAIN\n")
        sim.run(until=lambda: clients[3].received.endswith(b"3 AGAIN\n"))


def test_when_the_server_dies_without_a_policy_each_source_is_closed() -> None:
    with Simulation(1) as sim:
        world = World(sim, ByKey, lambda peer, _: peer.close())
        clients = [world.client(b"%d ask\n" % n) for n in range(10)]
        sim.run(until=lambda: all(client.ended for client in clients))
        assert all(client.received == b"" for client in clients)


def test_without_a_server_each_source_gets_an_answer_and_the_next_request_tries_again() -> None:
    with Simulation(1) as sim:
        world = World(sim, Telling)
        client = world.client(b"1 ask\n")
        sim.run(until=lambda: client.received == b"no answer to 1 ask\n")
        world.serve(shout)
        client.send(b"1 ask\n")
        sim.run(until=lambda: client.received.endswith(b"1 ASK\n"))


@pytest.mark.parametrize("said", [b"1 crash\n", b"1 unhashable\n"])
def test_a_key_that_fails_ends_its_source_and_no_other(said: bytes) -> None:
    with Simulation(1) as sim:
        world = World(sim, ByKey, silent)
        other = world.client(b"2 ask\n")
        client = world.client(said)
        sim.run(until=lambda: client.reset_seen and world.at_server == b"2 ask\n")
        world.servers[0].send(b"2 end\n")
        sim.run(until=lambda: other.received == b"2 end\n")
        assert len(world.mistakes) == 1
        other.close()
        world.settle()


def test_a_split_that_fails_ends_the_connection_and_every_source_is_told() -> None:
    class Broken(Telling):
        def split(self, reply: bytes) -> Iterator[Part]:
            yield Part(b"1", reply)
            raise KeyError("split")

    with Simulation(1) as sim:
        world = World(sim, Broken, shout)
        first, second = world.client(b"1 ask\n"), world.client(b"2 ask\n")
        sim.run(until=lambda: second.received == b"no answer to 2 ask\n" and bool(first.received))
        assert isinstance(world.mistakes[0], KeyError)


def test_a_hub_that_fails_leaves_nobody_hanging() -> None:
    with Simulation(1) as sim:
        world = World(sim, Telling, silent)
        client = world.client(b"1 ask\n")
        sim.run(until=lambda: world.at_server == b"1 ask\n")
        hub = world.service.shared[Hub]
        assert isinstance(hub, Hub)
        world.engine.schedule(hub, "NONSENSE", None)
        sim.run(until=lambda: client.received == b"no answer to 1 ask\n")
        client.send(b"2 ask\n")
        sim.run(until=lambda: len(world.servers) == 2 and world.at_server == b"1 ask\n2 ask\n")
        client.close()
        world.servers[1].close()
        sim.run(until=lambda: not world.engine.vcs)


def test_a_reply_over_the_limit_ends_the_connection() -> None:
    with Simulation(1) as sim:
        world = World(sim, Telling, lambda peer, _: peer.send(b"1 " + b"x" * 2000))
        client = world.client(b"1 ask\n")
        sim.run(until=lambda: client.received == b"no answer to 1 ask\n")
        assert "over the limit" in world.logged[-1]


def test_a_source_that_does_not_read_is_closed_and_the_others_go_on() -> None:
    class Small(ByKey):
        backlog = 100_000

    with Simulation(1, Faults(socket=(4096, 4096))) as sim:
        world = World(sim, Small, silent)
        slow, other = world.client(b"1 ask\n"), world.client(b"2 ask\n")
        sim.run(until=lambda: len(world.at_server) == 12)
        slow.stall()
        world.servers[0].send((b"1 " + b"x" * 900 + b"\n") * 150 + b"2 end\n")
        sim.run(until=lambda: other.received == b"2 end\n")
        assert world.service.counts["slow"] == 1


def test_a_client_that_floods_is_bounded() -> None:
    with Simulation(1, Faults(socket=(4096, 4096))) as sim:
        world = World(sim, InOrder, silent)
        client = world.client(b"x" * 100 + b"\n" * 5000)
        sim.elapse(4.0)
        assert world.at_server.count(b"\n") == Splitter.window
        assert client.sent < 100_000


def test_a_server_that_does_not_read_stops_the_sources() -> None:
    class Wide(InOrder):
        window = 10_000
        timeout_s = 1000.0

    with Simulation(1, Faults(socket=(4096, 4096))) as sim:
        world = World(sim, Wide, shout)
        clients = [world.client((b"x" * 99 + b"\n") * 2000) for _ in range(10)]
        sim.run(until=lambda: bool(world.servers))
        world.servers[0].stall()
        sim.elapse(60.0)
        assert world.engine.memory.used < 1_500_000
        world.servers[0].resume()
        sim.run(until=lambda: all(len(client.received) == 200_000 for client in clients))


def test_ten_thousand_sources_on_one_connection() -> None:
    with Simulation(1) as sim:
        world = World(sim, InOrder, shout)
        clients = [world.client(b"%d\n" % n) for n in range(10_000)]
        sim.run(until=lambda: all(client.received for client in reversed(clients)))
        assert all(client.received == b"%d\n" % n for n, client in enumerate(clients))
        assert len(world.servers) == 1
        for client in clients:
            client.close()
        world.settle()


@pytest.mark.parametrize("batch", range(4))
def test_whatever_happens_nobody_gets_what_is_anothers_and_nothing_stays(batch: int) -> None:
    for seed in list(seeds(60))[batch::4]:
        random = Random(seed)
        with Simulation(seed, Faults.all().some(random)) as sim:
            plugin = random.choice([Telling, InOrder])
            world = World(sim, plugin, shout, inactivity_s=60.0)
            clients = []
            for n in range(5):
                asked = [b"%d ask%d" % (n % 3, 10 * n + i) for i in range(20)]
                client = world.client(*(each + b"\n" for each in asked))
                client.on_end = client.close
                client.end()
                clients.append((client, asked))
            sim.run()
            assert world.mistakes == []
            for client, asked in clients:
                right = {each.upper() for each in asked} | {b"no answer to " + a for a in asked}
                *whole, _ = bytes(client.received).split(b"\n")
                assert set(whole) <= right, f"seed={seed}"
            world.settle()
            assert world.service.shared == {}


def test_replies_in_json_arrays() -> None:
    class Batch(Splitter):
        def key(self, request: bytes) -> str:
            return str(json.loads(request)["id"])

        def split(self, reply: bytes) -> Iterator[Part]:
            for answer in json.loads(reply):
                yield Part(str(answer["id"]), json.dumps(answer).encode(), last=answer["done"])

    def reply(peer: Peer, data: bytes) -> None:
        peer.send(b'[{"id": 1, "done": true}]\n')

    with Simulation(1) as sim:
        world = World(sim, Batch, reply)
        client = world.client(b'{"id": 1}\n')
        sim.run(until=lambda: client.received == b'{"id": 1, "done": true}\n')
