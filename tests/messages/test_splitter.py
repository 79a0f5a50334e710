"""Splitters: one server connection, many clients; each gets its own answers, or is closed.

This tests SharedConnection and FramedConnection too.
"""

from __future__ import annotations

import json
from collections.abc import Hashable, Iterator
from dataclasses import replace
from functools import partial
from random import Random

import pytest

from tests.sessions.world import World, shout, silent
from vcproxy.drivers.sim import NetworkFaults, Peer, Simulation, seeds
from vcproxy.engine.net import NetVConnection
from vcproxy.framing.framing import delimiter, lines
from vcproxy.messages.pending_requests import MAX_ABANDONED
from vcproxy.messages.shared_connection import SharedConnection
from vcproxy.messages.split_rules import Part, SplitRules
from vcproxy.messages.splitter import Splitter
from vcproxy.messages.succession import latest
from vcproxy.messages.unanswered import Unanswered
from vcproxy.messages.verdict import Reject, Resend
from vcproxy.sessions.service import Service
from vcproxy.testing.machines import check_machine


class ByKey(Splitter):
    """Requests: "KEY ..."; replies: parts "KEY word", split by ";"; "KEY end" is the last."""

    framing = lines(limit=1000)
    timeout_s = queue_timeout_s = 5.0

    def key(self, request: bytes) -> Hashable | Reject | Resend:
        key, _, rest = request.partition(b" ")
        if rest == b"crash":
            raise KeyError("crash")
        if rest == b"unhashable":
            return [key]  # type: ignore[return-value]
        return key if rest else Resend(b"what?\n")

    @classmethod
    def split(cls, reply: bytes, options: object) -> Iterator[Part]:
        for part in reply.split(b";"):
            if part:
                key, _, rest = part.partition(b" ")
                yield Part(key, part, last=rest == b"end" or rest.isupper())


class Answering(ByKey):
    """Answers a request itself if the server does not."""

    def unanswered(self, request: bytes, why: Unanswered) -> bytes:
        return b"no answer to " + request


class InOrder(Splitter):
    timeout_s = queue_timeout_s = 5.0

    def unanswered(self, request: bytes, why: Unanswered) -> bytes:
        return b"no answer to " + request


def test_the_machines_are_sound() -> None:
    assert check_machine(Splitter) == {
        f"TALKING {key}" for key in ("READ_READY", "WRITE_READY", "EOS", "RoomAvailable")
    }
    holes = check_machine(SharedConnection)
    assert not {hole for hole in holes if hole.startswith("SERVING")} - {"SERVING CONNECTED"}
    assert not {"IDLE SplitRequest", "CONNECTING SplitRequest", "CONNECTING ERROR"} & holes


def test_each_request_in_order_gets_its_reply() -> None:
    with Simulation(1, NetworkFaults(short=0.5, one_byte=0.3, latency=(0.0, 0.1))) as sim:
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
        assert world.service.persistent == {}


def test_a_reply_is_split_among_several_sources_and_a_request_may_get_several_parts() -> None:
    def batch(peer: Peer, data: bytes) -> None:
        if peer.received.count(b"\n") == 2:
            peer.send(b"k2 one;k1 one;k2 two\nk1 end;k2 end\n")

    with Simulation(1) as sim:
        world = World(sim, ByKey, batch)
        first, second = world.client(b"k1 get\n"), world.client(b"k2 get\n")
        sim.run(until=lambda: b"end" in first.received and b"end" in second.received)
        assert first.received == b"k1 one\nk1 end\n"
        assert second.received == b"k2 one\nk2 two\nk2 end\n"


def test_equal_keys_of_two_sources_are_not_confused() -> None:
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


def test_an_answer_sent_twice_is_not_given_to_the_next_request_with_the_key() -> None:
    """Also if both arrive at once, before that request is sent."""
    with Simulation(1) as sim:
        world = World(sim, ByKey, silent)
        first, second = world.client(b"1 first\n"), world.client(b"1 second\n")
        sim.run(until=lambda: world.at_server == b"1 first\n")
        world.servers[0].send(b"1 FIRST\n1 FIRST\n")
        sim.run(until=lambda: world.at_server == b"1 first\n1 second\n")
        world.servers[0].send(b"1 SECOND\n")
        sim.run(until=lambda: second.received == b"1 SECOND\n")
        assert first.received == b"1 FIRST\n"
        assert world.service.counts["orphan"] == 1


def test_without_a_request_no_server_is_connected() -> None:
    with Simulation(1) as sim:
        world = World(sim, ByKey, shout)
        client = world.client(b"huh\n")
        client.end()
        sim.run(until=lambda: client.ended)
        assert client.received == b"what?\n"
        assert world.servers == []


def test_a_rejection_is_sent_after_earlier_answers() -> None:
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
        client = world.client(b"1 get\n")
        sim.run(until=lambda: client.received == b"1 end\n")
        assert world.service.counts["orphan"] == 3
        assert len(world.servers) == 1


def test_orphans_may_end_the_connection() -> None:
    class Strict(Answering):
        orphans = "reconnect"

    with Simulation(1) as sim:
        world = World(sim, Strict, lambda peer, _: peer.send(b"7 end\n"))
        client = world.client(b"1 get\n")
        sim.run(until=lambda: client.received == b"no answer to 1 get\n")
        assert "unmatched reply part" in world.logged[-1]


class Exclusive(InOrder):
    orphans = "reconnect"


def test_without_keys_one_source_at_a_time_uses_the_connection() -> None:
    with Simulation(1) as sim:
        world = World(sim, Exclusive, shout)
        first = world.client(b"a\nb\nc\n")
        second = world.client(b"d\n")
        sim.run(until=lambda: first.received == b"A\nB\nC\n" and second.received == b"D\n")
        first.send(b"e\n")
        sim.run(until=lambda: first.received == b"A\nB\nC\nE\n")
        assert [bytes(peer.received) for peer in world.servers] == [b"a\nb\nc\n", b"d\n", b"e\n"]
        assert [peer.ended for peer in world.servers] == [True, True, False]
        first.send(b"f\n")
        sim.run(until=lambda: first.received.endswith(b"F\n"))
        assert len(world.servers) == 3, "no other client has sent a request"
        first.reset()
        second.close()
        world.settle()


def test_if_there_are_too_many_answers_none_is_sent() -> None:
    with Simulation(1) as sim:
        world = World(sim, Exclusive, silent)
        client = world.client(b"a\nb\n")
        sim.run(until=lambda: world.at_server == b"a\nb\n")
        world.servers[0].send(b"NEWS\nA\nB\n")
        sim.run(until=lambda: client.received == b"no answer to a\nno answer to b\n")
        assert world.service.counts["orphan"] == 1


def test_a_source_that_leaves_frees_its_connection_at_once() -> None:
    with Simulation(1) as sim:
        world = World(sim, Exclusive, silent)
        first, second = world.client(b"a\n"), world.client(b"b\n")
        sim.elapse(1.0)
        assert world.at_server == b"a\n"
        first.reset()
        sim.run(until=lambda: world.at_server == b"a\nb\n")
        assert sim.now == pytest.approx(1.0)
        world.servers[1].send(b"B\n")
        sim.run(until=lambda: second.received == b"B\n")


def test_a_request_that_waits_for_the_connection_times_out() -> None:
    with Simulation(1) as sim:
        world = World(sim, Exclusive, silent)
        clients = [world.client(b"%d\n" % n) for n in range(3)]
        sim.run(until=lambda: all(client.received for client in clients))
        assert sim.now == pytest.approx(5.0)
        assert clients[2].received == b"no answer to 2\n"
        for client in clients:
            client.close()
        world.settle()


NEWS = b"NEWS"


@pytest.mark.parametrize("batch", range(4))
def test_unsolicited_replies_never_send_an_answer_to_another_client(batch: int) -> None:
    """Unsolicited replies come before, between and after answers, and while requests are sent.

    A client may get such a reply instead of an answer, because only order matches them; its next
    answers then come late. It never gets the answer to another client's request.
    """
    for seed in list(seeds(100))[batch::4]:
        random = Random(seed)
        chance = random.choice([0.05, 0.3, 1.0])

        def reply(peer: Peer, data: bytes, random: Random = random, chance: float = chance) -> None:
            count = peer.received.count(b"\n")
            for word in peer.received.splitlines()[count - data.count(b"\n") : count]:
                if random.random() < chance:
                    peer.send(NEWS + b"\n")
                peer.send(b"re " + word + b"\n")
                if random.random() < chance:
                    peer.send(NEWS + b"\n")

        faults = NetworkFaults(
            latency=(0.0, random.choice([0.0, 0.05])), short=random.choice([0.0, 0.5])
        )
        with Simulation(seed, faults) as sim:
            world = World(sim, Exclusive, reply, inactivity_s=60.0)
            clients = []
            for n in range(4):
                client = world.client()
                client.on_end = client.close
                clients.append(client)
                for i in range(12):
                    send = partial(client.send, b"%d.%d\n" % (n, i))
                    sim.clock.at(random.random() * 0.5, send)
            sim.elapse(1.0)
            for peer in world.servers:
                if random.random() < chance and not peer.ended:
                    peer.send(NEWS + b"\n")
            sim.elapse(20.0)
            for n, client in enumerate(clients):
                answers = bytes(client.received).split(b"\n")
                for each in answers:
                    mine = each.startswith((b"re %d." % n, b"no answer to %d." % n))
                    assert mine or each in (NEWS, b""), f"{seed=} {n} {each!r}"
                client.close()
            world.settle()
            assert world.service.persistent == {}


def test_a_source_that_leaves_loses_only_its_parts() -> None:
    with Simulation(1) as sim:
        world = World(sim, ByKey, silent)
        leaving, staying = world.client(b"1 get\n"), world.client(b"2 get\n")
        sim.run(until=lambda: len(world.at_server) == 12)
        leaving.reset()
        sim.elapse(1.0)
        world.servers[0].send(b"1 one;2 one\n1 end\n2 end\n")
        sim.run(until=lambda: staying.received == b"2 one\n2 end\n")
        assert world.service.counts["late"] == 2
        assert world.service.counts["orphan"] == 0


def test_a_request_times_out_and_its_late_answer_is_dropped() -> None:
    with Simulation(1) as sim:
        world = World(sim, Answering, silent)
        slow = world.client(b"1 slow\n")
        sim.elapse(1.0)
        quick = world.client(b"2 quick\n")
        sim.elapse(1.0)
        world.servers[0].send(b"2 QUICK\n")
        sim.run(until=lambda: slow.received == b"no answer to 1 slow\n")
        assert sim.now == pytest.approx(5.0)
        world.servers[0].send(b"1 SLOW\n")
        quick.send(b"2 again\n")
        sim.run(until=lambda: world.at_server.endswith(b"2 again\n"))
        world.servers[0].send(b"2 AGAIN\n")
        sim.run(until=lambda: quick.received == b"2 QUICK\n2 AGAIN\n")
        assert slow.received == b"no answer to 1 slow\n"
        assert world.service.counts["timed_out"] == 1
        assert world.service.counts["late"] == 1
        assert len(world.servers) == 1


@pytest.mark.parametrize("plugin", [Answering, InOrder])
@pytest.mark.parametrize("leave", [False, True])
def test_a_silent_server_is_closed_although_clients_send_requests(
    plugin: type[Splitter], leave: bool
) -> None:
    """If it stayed open, all requests would time out as long as any client stays connected."""
    with Simulation(1) as sim:
        world = World(sim, plugin, silent)
        staying = world.client(b"0 get\n")
        sim.elapse(0.5)
        world.servers[0].send(b"0 GET\n")
        sim.elapse(0.5)
        for n in range(1, 8):
            sender = world.client(b"%d get\n" % n)
            sim.elapse(0.9)
            if leave:
                sender.reset()
        [lost] = [line for line in world.logged if "sent nothing" in line]
        assert "connection: timed out: the server has sent nothing for 5.5 s; " in lost
        assert world.servers[0].ended
        assert len(world.servers) == 2
        assert world.servers[1].received == b"7 get\n"
        world.servers[1].send(b"7 GET\n")
        staying.send(b"9 get\n")
        sim.run(until=lambda: world.servers[1].received.endswith(b"9 get\n"))
        world.servers[1].send(b"9 GET\n")
        sim.run(until=lambda: staying.received == b"0 GET\n9 GET\n")


def test_a_server_that_answers_other_requests_stays_connected() -> None:
    with Simulation(1) as sim:
        world = World(sim, Answering, lambda peer, data: peer.send(data.replace(b"1 get\n", b"")))
        late = world.client(b"1 get\n")
        for n in range(2, 12):
            world.client(b"%d end\n" % n)
            sim.elapse(1.0)
        assert late.received == b"no answer to 1 get\n"
        assert len(world.servers) == 1
        assert world.service.counts["unanswered"] == 0


def test_a_request_that_blocks_its_key_closes_the_server_connection() -> None:
    with Simulation(1) as sim:
        world = World(sim, Answering, lambda peer, data: peer.send(data.replace(b"1 lost\n", b"")))
        first = world.client(b"1 lost\n")
        other = world.client(b"2 end\n")
        sim.elapse(0.1)
        other.send(b"2 end\n")
        sim.run(until=lambda: first.received == b"no answer to 1 lost\n")
        second = world.client(b"1 second\n")
        sim.elapse(0.1)
        other.send(b"2 end\n")
        sim.run(until=lambda: second.received == b"no answer to 1 second\n")
        assert "leaves requests unanswered" in world.logged[-1]
        third = world.client(b"1 END\n")
        sim.run(until=lambda: third.received == b"1 END\n")
        assert b"1 second" not in world.at_server
        assert len(world.servers) == 2


def test_many_abandoned_requests_close_the_server_connection() -> None:
    with Simulation(1) as sim:
        world = World(sim, InOrder, silent)
        staying = world.client()
        for _ in range(70):
            leaving = world.client(b"a\n" * Splitter.window)
            sim.elapse(0.01)
            leaving.reset()
        sim.run(until=lambda: bool(world.servers) and world.servers[0].ended)
        assert any("leaves requests unanswered" in line for line in world.logged)
        staying.reset()
        world.settle()


@pytest.mark.parametrize("leave", [False, True])
@pytest.mark.parametrize("too_many", [False, True])
def test_the_limit_of_abandoned_requests(leave: bool, too_many: bool) -> None:
    """The server sends other data, so that it does not count as silent."""

    class Wide(Answering):
        window = 2000

    count = MAX_ABANDONED + too_many
    with Simulation(1) as sim:
        world = World(sim, Wide, silent)
        staying = world.client()
        sender = world.client(b"".join(b"%d get\n" % n for n in range(count)))
        sim.elapse(1.0)
        assert world.at_server.count(b"\n") == count
        world.servers[0].send(b"orphan end\n")
        if leave:
            sender.reset()
            sim.elapse(0.1)
            assert world.servers[0].ended is too_many, "at once"
        sim.elapse(9.0)
        assert world.service.counts["timed_out"] == (0 if leave else count)
        assert any("leaves requests unanswered" in line for line in world.logged) is too_many
        assert world.servers[0].ended is too_many
        staying.reset()
        sender.reset()
        world.settle()


def test_requests_that_wait_behind_a_lost_one_do_not_block_other_keys() -> None:
    class Wide(Answering):
        window = 1000

    with Simulation(1) as sim:
        world = World(sim, Wide, silent)
        stuck = world.client(b"1 lost\n" + (b"1 " + b"x" * 900 + b"\n") * 400)
        sim.run(until=lambda: stuck.received.count(b"\n") == 401, limit=100.0)
        other = world.client(b"2 get\n")
        sim.run(until=lambda: b"2 get" in world.at_server)
        world.servers[-1].send(b"2 end\n")
        sim.run(until=lambda: other.received == b"2 end\n")


@pytest.mark.parametrize("how", ["close", "reset"])
def test_when_the_server_fails_each_source_gets_an_answer(how: str) -> None:
    with Simulation(1) as sim:
        world = World(sim, Answering, silent)
        clients = [world.client(b"%d get\n" % n) for n in range(10)]
        sim.run(until=lambda: world.at_server.count(b"\n") == 10)
        getattr(world.servers[0], how)()
        sim.run(until=lambda: all(client.received for client in clients))
        assert clients[7].received == b"no answer to 7 get\n"
        assert world.service.counts["unanswered"] == 10
        clients[3].send(b"3 again\n")
        sim.run(until=lambda: len(world.servers) == 2)
        world.servers[1].send(b"3 AGAIN\n")
        sim.run(until=lambda: clients[3].received.endswith(b"3 AGAIN\n"))


def test_when_the_server_fails_sources_without_unanswered_are_closed() -> None:
    with Simulation(1) as sim:
        world = World(sim, ByKey, lambda peer, _: peer.close())
        clients = [world.client(b"%d get\n" % n) for n in range(10)]
        sim.run(until=lambda: all(client.ended for client in clients))
        assert all(client.received == b"" for client in clients)


def test_without_a_server_each_source_gets_an_answer_and_the_next_request_tries_again() -> None:
    with Simulation(1) as sim:
        world = World(sim, Answering)
        client = world.client(b"1 get\n")
        sim.run(until=lambda: client.received == b"no answer to 1 get\n")
        world.serve(shout)
        client.send(b"1 get\n")
        sim.run(until=lambda: client.received.endswith(b"1 GET\n"))


@pytest.mark.parametrize("sent", [b"1 crash\n", b"1 unhashable\n"])
def test_a_key_that_fails_ends_its_source_and_no_other(sent: bytes) -> None:
    with Simulation(1) as sim:
        world = World(sim, ByKey, silent)
        other = world.client(b"2 get\n")
        client = world.client(sent)
        sim.run(until=lambda: client.reset_seen and world.at_server == b"2 get\n")
        world.servers[0].send(b"2 end\n")
        sim.run(until=lambda: other.received == b"2 end\n")
        assert len(world.mistakes) == 1
        other.close()
        world.settle()


def test_split_is_called_without_the_session_of_any_client() -> None:
    """What a session stores of its client cannot affect the parts of other clients."""
    with pytest.raises(TypeError, match=r"PerClient\.split\(\) .* without a session: write @cl"):

        class PerClient(ByKey):
            def split(self, reply: bytes) -> Iterator[Part]:  # type: ignore[override]
                yield Part(self.client_address.encode(), reply)


def test_replies_are_split_alike_whichever_client_joined_first() -> None:
    made: list[SplitRules] = []

    class Counted(ByKey):
        @classmethod
        def split_rules(cls, options: object, place: str) -> SplitRules:
            made.append(replace(super().split_rules(options, place), framing=delimiter(b"|")))
            return made[-1]

        def __init__(self, client: NetVConnection, service: Service) -> None:
            super().__init__(client, service)
            self.replies = lines()  # set on a session, so not used

    with Simulation(1) as sim:
        world = World(sim, Counted, lambda peer, data: peer.send(data.upper().replace(b"\n", b"|")))
        first, second = world.client(b"1 a\n"), world.client(b"2 b\n")
        sim.run(until=lambda: first.received == b"1 A\n" and second.received == b"2 B\n")
        first.close()
        sim.elapse(1.0)
        second.send(b"2 c\n")
        sim.run(until=lambda: second.received == b"2 B\n2 C\n")
        assert len(made) == len(world.servers) == 1


def test_failing_split_rules_end_the_client() -> None:
    class Failing(ByKey):
        @classmethod
        def split_rules(cls, options: object, place: str) -> SplitRules:
            raise KeyError("split_rules")

    with Simulation(1) as sim:
        world = World(sim, Failing, shout)
        client = world.client(b"1 get\n")
        sim.run(until=lambda: client.reset_seen)
        assert isinstance(world.mistakes[0], KeyError)
        assert len(world.mistakes) == 1
        world.settle()


def test_a_split_that_fails_closes_the_connection_and_answers_each_client() -> None:
    class Broken(Answering):
        @classmethod
        def split(cls, reply: bytes, options: object) -> Iterator[Part]:
            yield Part(b"1", reply)
            raise KeyError("split")

    with Simulation(1) as sim:
        world = World(sim, Broken, shout)
        first, second = world.client(b"1 get\n"), world.client(b"2 get\n")
        sim.run(until=lambda: second.received == b"no answer to 2 get\n" and bool(first.received))
        assert isinstance(world.mistakes[0], KeyError)


def test_a_shared_connection_that_fails_answers_each_client() -> None:
    with Simulation(1) as sim:
        world = World(sim, Answering, silent)
        client = world.client(b"1 get\n")
        sim.run(until=lambda: world.at_server == b"1 get\n")
        connection = latest(world.service, "back")
        assert connection is not None
        world.engine.schedule(connection, "NONSENSE", None)
        sim.run(until=lambda: client.received == b"no answer to 1 get\n")
        client.send(b"2 get\n")
        sim.run(until=lambda: len(world.servers) == 2 and world.at_server == b"1 get\n2 get\n")
        client.close()
        world.servers[1].close()
        sim.run(until=lambda: not world.engine.vcs)


def test_a_reply_over_the_limit_closes_the_connection() -> None:
    with Simulation(1) as sim:
        world = World(sim, Answering, lambda peer, _: peer.send(b"1 " + b"x" * 2000))
        client = world.client(b"1 get\n")
        sim.run(until=lambda: client.received == b"no answer to 1 get\n")
        assert "over the size limit" in world.logged[-1]


def test_a_source_that_does_not_read_is_closed_and_the_others_continue() -> None:
    class Small(ByKey):
        backlog = 100_000

    with Simulation(1, NetworkFaults(socket=(4096, 4096))) as sim:
        world = World(sim, Small, silent)
        slow, other = world.client(b"1 get\n"), world.client(b"2 get\n")
        sim.run(until=lambda: len(world.at_server) == 12)
        slow.stall()
        world.servers[0].send((b"1 " + b"x" * 900 + b"\n") * 150 + b"2 end\n")
        sim.run(until=lambda: other.received == b"2 end\n")
        assert world.service.counts["slow"] == 1


def test_a_full_window_is_refilled_one_answer_at_a_time() -> None:
    """Requests that were read already cause no event: the answer that makes room must."""
    with Simulation(1) as sim:
        world = World(sim, InOrder, silent)
        count = Splitter.window + 3
        client = world.client(b"".join(b"%d\n" % n for n in range(count)))
        sim.elapse(0.1)
        for n in range(count):
            assert world.at_server.count(b"\n") == min(Splitter.window + n, count)
            world.servers[0].send(b"%d\n" % n)
            sim.elapse(0.1)
        assert client.received == b"".join(b"%d\n" % n for n in range(count))


def test_a_client_that_floods_is_bounded() -> None:
    with Simulation(1, NetworkFaults(socket=(4096, 4096))) as sim:
        world = World(sim, InOrder, silent)
        client = world.client(b"x" * 100 + b"\n" * 5000)
        sim.elapse(4.0)
        assert world.at_server.count(b"\n") == Splitter.window
        assert client.sent < 100_000


def test_a_server_that_does_not_read_pauses_the_clients() -> None:
    class Wide(InOrder):
        window = 10_000
        timeout_s = queue_timeout_s = 1000.0

    with Simulation(1, NetworkFaults(socket=(4096, 4096))) as sim:
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
def test_each_source_gets_only_its_own_answers_with_all_network_faults(batch: int) -> None:
    for seed in list(seeds(60))[batch::4]:
        random = Random(seed)
        with Simulation(seed, NetworkFaults.all().some(random)) as sim:
            plugin = random.choice([Answering, InOrder])
            world = World(sim, plugin, shout, inactivity_s=60.0)
            clients = []
            for n in range(5):
                requests = [b"%d get%d" % (n % 3, 10 * n + i) for i in range(20)]
                client = world.client(*(each + b"\n" for each in requests))
                client.on_end = client.close
                client.end()
                clients.append((client, requests))
            sim.run()
            assert world.mistakes == []
            for client, requests in clients:
                right = {each.upper() for each in requests} | {
                    b"no answer to " + a for a in requests
                }
                *whole, _ = bytes(client.received).split(b"\n")
                assert set(whole) <= right, f"seed={seed}"
            world.settle()
            assert world.service.persistent == {}


def test_replies_in_json_arrays() -> None:
    class Batch(Splitter):
        def key(self, request: bytes) -> str:
            return str(json.loads(request)["id"])

        @classmethod
        def split(cls, reply: bytes, options: object) -> Iterator[Part]:
            for answer in json.loads(reply):
                yield Part(str(answer["id"]), json.dumps(answer).encode(), last=answer["done"])

    def reply(peer: Peer, data: bytes) -> None:
        peer.send(b'[{"id": 1, "done": true}]\n')

    with Simulation(1) as sim:
        world = World(sim, Batch, reply)
        client = world.client(b'{"id": 1}\n')
        sim.run(until=lambda: client.received == b'{"id": 1, "done": true}\n')
