"""Splitters in front of devices: ids of their own, turns, time-outs, attempts, several upstreams.

Requests are "ID TEXT", with an id that is unique for its client; the device gets one that is unique
on the connection, and answers with it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import reduce
from operator import xor
from typing import ClassVar

import pytest

from tests.sessions.world import BACK, World, silent
from vcproxy.drivers.sim import NetworkFaults, Peer, SimulatedServer, Simulation
from vcproxy.engine.address import Address
from vcproxy.framing.framing import delimiter, lines
from vcproxy.framing.nmea import nmea
from vcproxy.messages.keyed import Keyed
from vcproxy.messages.split_rules import Orphans, Part
from vcproxy.messages.splitter import Splitter
from vcproxy.messages.succession import shared_connections
from vcproxy.messages.unanswered import Unanswered
from vcproxy.messages.verdict import Resend
from vcproxy.upstream.server import Server
from vcproxy.upstream.upstream import Upstream


class Device(Splitter):
    """A device with ids. "get ..." may share its answer."""

    framing = lines(limit=1000)
    timeout_s = 5.0
    queue_timeout_s = 20.0
    size: ClassVar[int] = 1000

    def key(self, request: bytes) -> Keyed | Resend:
        _, _, text = request.partition(b" ")
        if not text:
            return Resend(b"what?\n")
        number = self.fresh_id(self.size)
        return Keyed(number, b"%d %b" % (number, text), text if text[:3] == b"get" else None)

    @classmethod
    def split(cls, reply: bytes, options: object) -> Iterator[Part]:
        number, _, text = reply.partition(b" ")
        yield Part(int(number), reply, last=not text.endswith(b"..."))

    def restore(self, request: bytes, part: bytes) -> bytes:
        return request.partition(b" ")[0] + b" " + part.partition(b" ")[2]

    def unanswered(self, request: bytes, why: Unanswered) -> bytes | None:
        return request.partition(b" ")[0] + b" " + why.name.encode()


class OneAtATime(Device):
    in_flight = 1


def answering(peer: Peer, data: bytes) -> None:
    """Answer each request with its text in upper case, but "dead ..." with nothing."""
    for line in data.splitlines():
        if b"dead" not in line:
            peer.send(line.upper() + b"\n")


def lines_of(peer: Peer) -> list[bytes]:
    """Return the whole lines that a peer has received."""
    return bytes(peer.received).split(b"\n")[:-1]


def test_two_clients_with_equal_ids_each_get_their_own_answer() -> None:
    with Simulation(1) as sim:
        world = World(sim, Device, answering)
        first, second = world.client(b"7 one\n"), world.client(b"7 two\n")
        sim.run(until=lambda: bool(first.received and second.received))
        assert first.received == b"7 ONE\n"
        assert second.received == b"7 TWO\n"
        assert world.at_server == b"0 one\n1 two\n"


def test_requests_may_be_framed_otherwise_for_the_server() -> None:
    class Piped(Device):
        forwarding = delimiter(b"|")

    with Simulation(1) as sim:
        world = World(sim, Piped, lambda peer, data: peer.send(data.upper()))
        client = world.client(b"7 one\n")
        sim.run(until=lambda: bool(client.received))
        assert world.at_server == b"0 one|"
        assert client.received == b"7 ONE\n"


def test_no_id_is_used_twice_and_clients_wait_for_a_free_one() -> None:
    class Small(Device):
        size = 3

    with Simulation(1) as sim:
        world = World(sim, Small, silent)
        clients = [world.client(b"7 %d\n" % n) for n in range(5)]
        sim.elapse(1.0)
        assert world.at_server == b"0 0\n1 1\n2 2\n"
        world.servers[0].send(b"1 B\n")
        sim.elapse(1.0)
        assert lines_of(world.servers[0])[3:] == [b"1 3"]
        world.servers[0].send(b"0 A\n2 C\n1 D\n")
        sim.run(until=lambda: len(lines_of(world.servers[0])) == 5)
        world.servers[0].send(lines_of(world.servers[0])[4][:1] + b" E\n")
        sim.run(until=lambda: all(client.received for client in clients))
        assert [bytes(client.received) for client in clients] == [
            b"7 %b\n" % letter for letter in (b"A", b"B", b"C", b"D", b"E")
        ]


def test_the_id_of_a_request_that_is_too_late_is_not_used_before_its_answer() -> None:
    class Small(Device):
        size = 2

    with Simulation(1) as sim:
        world = World(sim, Small, silent)
        late = world.client(b"7 late\n")
        sim.elapse(4.0)
        other = world.client(b"8 other\n")
        sim.elapse(0.5)
        world.servers[0].send(b"1 OTHER\n")
        sim.run(until=lambda: late.received == b"7 NO_ANSWER\n")
        for number in range(3):
            other.send(b"%d next\n" % number)
            sim.elapse(0.1)
            world.servers[0].send(b"1 NEXT\n")
            sim.elapse(0.1)
        world.servers[0].send(b"0 LATE\n")
        sim.elapse(0.1)
        assert late.received == b"7 NO_ANSWER\n"
        assert other.received == b"8 OTHER\n0 NEXT\n1 NEXT\n2 NEXT\n"
        assert world.service.counts["late"] == 1


def test_if_no_id_is_left_because_answers_are_missing_the_connection_is_closed() -> None:
    class Small(Device):
        size = 3
        silences = 5

    with Simulation(1) as sim:
        world = World(sim, Small, answering)
        client = world.client(b"1 dead\n2 alive\n3 dead\n4 dead\n5 alive\n")
        sim.run(until=lambda: len(lines_of(client)) == 5)
        assert sim.now == pytest.approx(5.0)
        assert lines_of(client)[0] == b"2 ALIVE"
        assert lines_of(client)[-1] == b"5 ALIVE"
        assert len(world.servers) == 2
        assert any("leaves requests unanswered" in line for line in world.logged)


def test_a_device_gets_one_request_at_a_time_and_clients_take_turns() -> None:
    with Simulation(1) as sim:
        world = World(sim, OneAtATime, silent)
        many = world.client(b"".join(b"%d many%d\n" % (n, n) for n in range(4)))
        sim.elapse(0.1)
        few = [world.client(b"7 few%d\n" % n) for n in range(2)]
        sim.elapse(0.1)
        seen = []
        for _ in range(6):
            number, _, text = lines_of(world.servers[0])[-1].partition(b" ")
            seen.append(text)
            assert len(lines_of(world.servers[0])) == len(seen), "one at a time"
            world.servers[0].send(number + b" ok\n")
            sim.elapse(0.1)
        assert seen == [b"many0", b"many1", b"few0", b"few1", b"many2", b"many3"]
        assert many.received == b"0 ok\n1 ok\n2 ok\n3 ok\n"
        assert [bytes(client.received) for client in few] == [b"7 ok\n"] * 2


def test_the_time_for_the_answer_begins_when_the_request_is_sent() -> None:
    """The requests of a queue do not time out because of the first one."""
    with Simulation(1) as sim:
        world = World(sim, OneAtATime, answering)
        clients = [world.client(b"%d dead\n" % n) for n in range(3)]
        last = world.client(b"9 alive\n")
        sim.run(until=lambda: bool(last.received))
        assert sim.now == pytest.approx(15.0)
        assert [bytes(client.received) for client in clients] == [
            b"%d NO_ANSWER\n" % n for n in range(3)
        ]
        assert last.received == b"9 ALIVE\n"


def test_the_log_says_how_many_requests_a_silent_device_has_not_answered() -> None:
    with Simulation(1) as sim:
        world = World(sim, OneAtATime, silent)
        world.client(b"1 get\n")
        sim.elapse(60)
        [line] = [line for line in world.logged if "sent nothing" in line]
        assert line.endswith("; requests not answered: 1")


def test_a_request_that_is_not_sent_in_time_has_a_reason_of_its_own() -> None:
    with Simulation(1) as sim:
        world = World(sim, OneAtATime, silent)
        clients = [world.client(b"%d dead\n" % n) for n in range(6)]
        sim.run(until=lambda: all(client.received for client in clients))
        assert sim.now == pytest.approx(20.0)
        assert [bytes(client.received) for client in clients] == [
            *(b"%d NO_ANSWER\n" % n for n in range(4)), *(b"%d NOT_SENT\n" % n for n in (4, 5))
        ]  # fmt: skip
        assert len(world.servers) == 4, "after each that was silent"


def test_a_gateway_stays_connected_although_one_of_its_devices_is_dead() -> None:
    class Gateway(OneAtATime):
        silences = 3

    with Simulation(1) as sim:
        world = World(sim, Gateway, answering)
        client = world.client(b"1 dead\n2 dead\n3 alive\n4 dead\n5 dead\n")
        sim.run(until=lambda: len(lines_of(client)) == 5)
        assert sim.now == pytest.approx(20.0)
        assert len(world.servers) == 1
        client.send(b"6 dead\n7 alive\n")
        sim.run(until=lambda: len(lines_of(client)) == 7)
        assert len(world.servers) == 2, "it was silent three times in a row"
        assert [line[2:] for line in lines_of(client)] == [
            *(b"NO_ANSWER",) * 2, b"ALIVE", *(b"NO_ANSWER",) * 3, b"ALIVE"
        ]  # fmt: skip


def test_requests_that_were_not_sent_survive_the_loss_of_the_connection() -> None:
    with Simulation(1) as sim:
        world = World(sim, OneAtATime, silent)
        clients = [world.client(b"%d get%d\n" % (n, n)) for n in range(3)]
        sim.elapse(1.0)
        world.servers[0].reset()
        sim.run(until=lambda: len(world.servers) == 2 and bool(world.servers[1].received))
        assert clients[0].received == b"0 CONNECTION_LOST\n"
        for n in (1, 2):
            assert lines_of(world.servers[1])[-1] == b"%d get%d" % (n, n)
            world.servers[1].send(b"%d ok\n" % n)
            sim.elapse(0.1)
        assert [bytes(client.received) for client in clients[1:]] == [b"1 ok\n", b"2 ok\n"]


def test_without_a_server_nothing_waits() -> None:
    with Simulation(1) as sim:
        world = World(sim, OneAtATime)
        clients = [world.client(b"%d get\n" % n) for n in range(3)]
        sim.run(until=lambda: all(client.received for client in clients))
        assert sim.now < 1.0
        assert [bytes(client.received) for client in clients] == [
            b"%d NO_SERVER\n" % n for n in range(3)
        ]


class Twice(Device):
    attempts = 2


@pytest.mark.parametrize("answered", [False, True])
@pytest.mark.parametrize("limit", [0, 1])
def test_a_request_on_a_lost_connection_is_sent_again(limit: int, answered: bool) -> None:
    class Limited(Twice):
        in_flight = limit

    with Simulation(1) as sim:
        world = World(sim, Limited, silent)
        client = world.client(b"7 one\n")
        sim.run(until=lambda: bool(world.at_server))
        world.servers[0].reset()
        sim.run(until=lambda: len(world.servers) == 2 and bool(world.servers[1].received))
        assert world.servers[1].received == b"0 one\n"
        assert client.received == b""
        if answered:
            world.servers[1].send(b"0 ONE\n")
            sim.run(until=lambda: client.received == b"7 ONE\n")
            [shared] = shared_connections(world.service.persistent)
            assert shared.counts().abandoned == 0
            return
        world.servers[1].reset()
        sim.run(until=lambda: client.received == b"7 CONNECTION_LOST\n")
        assert world.service.counts["repeated"] == 1
        assert len(world.servers) == 2


def test_a_request_that_is_not_answered_in_time_is_sent_again() -> None:
    with Simulation(1) as sim:
        world = World(sim, Twice, silent)
        client, other = world.client(b"7 one\n"), world.client(b"8 two\n")
        sim.elapse(4.0)
        world.servers[0].send(b"1 TWO\n")
        sim.elapse(2.0)
        assert world.at_server == b"0 one\n1 two\n0 one\n", "on the same connection: it is not dead"
        world.servers[0].send(b"0 ONE\n0 ONE\n")
        sim.run(until=lambda: client.received == b"7 ONE\n")
        sim.elapse(1.0)
        assert client.received == b"7 ONE\n"
        assert other.received == b"8 TWO\n"
        assert world.service.counts["late"] == 1
        assert world.service.counts["timed_out"] == 0


def test_no_request_is_sent_again_after_a_part_of_its_answer() -> None:
    with Simulation(1) as sim:
        world = World(sim, Twice, lambda peer, data: peer.send(b"0 ONE...\n"))
        client = world.client(b"7 one\n")
        sim.run(until=lambda: client.received == b"7 ONE...\n7 NO_ANSWER\n")
        assert world.at_server == b"0 one\n"


def test_a_request_sent_and_lost_may_have_been_seen_by_a_server_that_is_gone() -> None:
    with Simulation(1) as sim:
        world = World(sim, Twice, silent)
        client = world.client(b"7 one\n")
        sim.run(until=lambda: bool(world.at_server))
        acceptor = sim.network._find(BACK)
        assert acceptor is not None
        sim.network.unlisten(acceptor)
        world.servers[0].reset()
        sim.run(until=lambda: client.received == b"7 CONNECTION_LOST\n")


REPLY = b"0 ONE...\n0 TWO\n"


@pytest.mark.parametrize("sent", range(len(REPLY)))
@pytest.mark.parametrize("how", ["reset", "close"])
@pytest.mark.parametrize("attempts", [1, 2])
def test_a_device_that_resets_at_any_point(sent: int, how: str, attempts: int) -> None:
    """Each request has one end, and no client gets a part that is cut off."""

    class Trying(OneAtATime):
        pass

    Trying.attempts = attempts
    with Simulation(1) as sim:
        world = World(sim, Trying, silent)
        first, second = world.client(b"7 one\n"), world.client(b"8 two\n")
        sim.run(until=lambda: bool(world.at_server))
        world.servers[0].send(REPLY[:sent])
        sim.elapse(0.1)
        getattr(world.servers[0], how)()
        sim.run(until=lambda: len(world.servers) == 2 and bool(world.servers[1].received))
        texts: list[bytes] = []
        while len(lines_of(world.servers[1])) > len(texts):
            number, _, text = lines_of(world.servers[1])[-1].partition(b" ")
            texts.append(text)
            world.servers[1].send(number + b" " + text.upper() + b"\n")
            sim.elapse(0.1)
        begun = sent >= len(b"0 ONE...\n")
        again = attempts == 2 and not begun
        end = b"7 ONE\n" if again else b"7 CONNECTION_LOST\n"
        assert first.received == b"7 ONE...\n" * begun + end
        assert second.received == b"8 TWO\n"
        assert texts == ([b"one"] if again else []) + [b"two"]


def test_a_device_that_resets_before_it_gets_anything() -> None:
    """It may have seen the request, which was written."""
    with Simulation(1) as sim:
        world = World(sim, OneAtATime, silent)
        client = world.client(b"7 one\n")
        sim.run(until=lambda: bool(world.servers))
        world.servers[0].reset()
        sim.run(until=lambda: client.received == b"7 CONNECTION_LOST\n")


def test_an_answer_to_another_id_is_of_nobody() -> None:
    with Simulation(1) as sim:
        world = World(sim, Device, silent)
        client, other = world.client(b"7 one\n"), world.client(b"7 two\n")
        sim.run(until=lambda: len(lines_of(world.servers[0])) == 2 if world.servers else False)
        world.servers[0].send(b"5 FIVE\n7 SEVEN\n1 TWO\n1 TWO\n")
        sim.run(until=lambda: other.received == b"7 TWO\n")
        sim.elapse(1.0)
        assert (other.received, client.received) == (bytearray(b"7 TWO\n"), bytearray())
        assert world.service.counts["orphan"] == 3


# -- what nobody has asked for -----------------------------------------------------------------


class Notifying(Device):
    orphans: Orphans = "broadcast"

    @classmethod
    def split(cls, reply: bytes, options: object) -> Iterator[Part]:
        yield (
            Part(None, reply)
            if reply.startswith(b"news")
            else next(iter(super().split(reply, options)))
        )

    def orphan(self, part: Part) -> bytes | None:
        return None if part.data.endswith(b"secret") else part.data

    def lost(self, why: str) -> bytes | None:
        return b"lost" if self.client_address.endswith("9") else None


def test_messages_that_no_request_waits_for_go_to_all_clients() -> None:
    with Simulation(1) as sim:
        world = World(sim, Notifying, silent)
        asking, other = world.client(b"7 one\n"), world.client()
        sim.run(until=lambda: bool(world.at_server))
        world.servers[0].send(b"news 1\n0 ONE\n0 ONE\nnews 2\nnews secret\n")
        sim.run(until=lambda: len(lines_of(asking)) == 3 and len(lines_of(other)) == 2)
        assert asking.received == b"news 1\n7 ONE\nnews 2\n", "in the order of the server"
        assert other.received == b"news 1\nnews 2\n"
        world.servers[0].close()
        sim.run(until=lambda: asking.ended and other.ended)
        assert any("closed: no longer subscribed: the server has cl" in x for x in world.logged)


class Subscribing(Notifying):
    orphans = "subscribers"

    def key(self, request: bytes) -> Keyed | Resend:
        if request.endswith(b"subscribe"):
            self.subscribed = request.endswith(b" subscribe")
        return super().key(request)

    def lost(self, why: str) -> bytes | None:
        return b"lost: " + why.encode()


def test_messages_that_no_request_waits_for_go_to_subscribers() -> None:
    with Simulation(1) as sim:
        world = World(sim, Subscribing, answering)
        asking, other = world.client(b"7 subscribe\n"), world.client(b"8 one\n")
        sim.run(until=lambda: bool(asking.received and other.received))
        world.servers[0].send(b"news 1\n")
        sim.run(until=lambda: asking.received == b"7 SUBSCRIBE\nnews 1\n")
        asking.send(b"8 unsubscribe\n")
        sim.run(until=lambda: len(lines_of(asking)) == 3)
        world.servers[0].send(b"news 2\n")
        other.send(b"9 subscribe\n")
        sim.run(until=lambda: len(lines_of(other)) == 2)
        world.servers[0].send(b"news 3\n")
        sim.run(until=lambda: len(lines_of(other)) == 3)
        world.servers[0].close()
        sim.run(until=lambda: len(lines_of(other)) == 4)
        assert asking.received == b"7 SUBSCRIBE\nnews 1\n8 UNSUBSCRIBE\n"
        assert other.received == (
            b"8 ONE\n9 SUBSCRIBE\nnews 3\nlost: the server has closed the connection\n"
        )
        assert not other.ended


def test_a_subscriber_that_does_not_read_is_closed() -> None:
    class Small(Notifying):
        backlog = 10_000

    with Simulation(1, NetworkFaults(socket=(4096, 4096))) as sim:
        world = World(sim, Small, silent)
        slow, other = world.client(b"7 one\n"), world.client()
        sim.run(until=lambda: bool(world.at_server))
        slow.stall()
        for _ in range(100):
            world.servers[0].send(b"news " + b"x" * 900 + b"\n")
        sim.run(until=lambda: len(lines_of(other)) == 100)
        assert world.service.counts["slow"] == 1


# -- damaged messages --------------------------------------------------------------------------


def sentence(text: bytes) -> bytes:
    """Return an NMEA sentence with its checksum."""
    return b"$%b*%02X" % (text, reduce(xor, text))


BROKEN = b"$BROKEN*00\r\n"


class InOrder(Splitter):
    """Sentences, each answered by one."""

    framing = nmea()
    timeout_s = queue_timeout_s = 5.0

    def unanswered(self, request: bytes, why: Unanswered) -> bytes:
        return sentence(why.name.encode())


class ByName(InOrder):
    """Sentences, each answered by one of the same name."""

    def key(self, request: bytes) -> bytes:
        return request[:6]

    @classmethod
    def split(cls, reply: bytes, options: object) -> Iterator[Part]:
        yield Part(reply[:6], reply)


def wire(*texts: bytes) -> bytes:
    return b"".join(sentence(each) + b"\r\n" for each in texts)


def test_a_damaged_request_is_not_sent_and_its_client_is_closed_after_its_answers() -> None:
    with Simulation(1) as sim:
        world = World(sim, InOrder, lambda peer, data: peer.send(wire(b"REPLY")))
        client = world.client(wire(b"GETIT") + BROKEN + wire(b"GETTT"))
        sim.run(until=lambda: client.ended)
        assert world.at_server == wire(b"GETIT")
        assert client.received == wire(b"REPLY")
        assert world.service.counts["damaged"] == 1
        assert any("damaged message: " in line for line in world.logged)


def test_a_plugin_may_answer_a_damaged_request() -> None:
    class Answering(InOrder):
        def damaged(self, message: bytes, why: str) -> Resend:
            return Resend(b"again, please\n")

    with Simulation(1) as sim:
        world = World(sim, Answering, lambda peer, data: peer.send(wire(b"REPLY")))
        client = world.client(BROKEN + wire(b"GETTT"))
        sim.run(until=lambda: client.received == b"again, please\n" + wire(b"REPLY"))


def test_a_damaged_reply_in_order_answers_its_request_and_no_other() -> None:
    with Simulation(1) as sim:
        world = World(sim, InOrder, silent)
        clients = [world.client(wire(b"GET%d" % n)) for n in range(3)]
        sim.run(until=lambda: world.at_server.count(b"\n") == 3)
        world.servers[0].send(wire(b"ONE") + BROKEN + BROKEN.replace(b"00", b"01") + BROKEN)
        sim.run(until=lambda: all(client.received for client in clients))
        sim.elapse(1.0)
        assert [bytes(client.received) for client in clients] == [
            wire(b"ONE"), wire(b"DAMAGED"), wire(b"DAMAGED")
        ]  # fmt: skip
        assert world.service.counts["damaged_replies"] == 3
        assert sum("damaged reply: " in line for line in world.logged) == 1


def test_a_damaged_reply_to_the_only_request_in_flight_is_its_answer() -> None:
    class One(ByName):
        in_flight = 1
        attempts = 2

    with Simulation(1) as sim:
        world = World(sim, One, silent)
        client, other = world.client(wire(b"GET1")), world.client(wire(b"GET2"))
        sim.run(until=lambda: bool(world.at_server))
        for _ in range(2):
            world.servers[0].send(BROKEN)
            sim.elapse(0.1)
        assert world.at_server == wire(b"GET1", b"GET1", b"GET2"), "one at once, then the next"
        assert client.received == wire(b"DAMAGED")
        world.servers[0].send(wire(b"GET2"))
        sim.run(until=lambda: other.received == wire(b"GET2"))
        assert world.service.counts["repeated"] == 1


def test_one_at_a_time_a_late_answer_is_never_taken_for_that_of_an_equal_key() -> None:
    """Although the device has sent something since the request was sent."""

    class One(ByName):
        in_flight = 1
        queue_timeout_s = 20.0

    with Simulation(1) as sim:
        world = World(sim, One, silent)
        client, other = world.client(wire(b"GET1")), world.client(wire(b"GET1"))
        sim.run(until=lambda: bool(world.at_server))
        world.servers[0].send(wire(b"NOISE"))
        sim.run(until=lambda: client.received == wire(b"NO_ANSWER"))
        sim.run(until=lambda: len(world.servers) == 2 and bool(world.servers[1].received))
        assert sim.now == pytest.approx(5.0)
        world.servers[1].send(wire(b"GET1"))
        sim.run(until=lambda: other.received == wire(b"GET1"))


def test_a_damaged_reply_to_one_of_several_requests_leaves_one_without_an_answer() -> None:
    with Simulation(1) as sim:
        world = World(sim, ByName, silent)
        client = world.client(wire(b"GET1", b"GET2"))
        sim.run(until=lambda: world.at_server.count(b"\n") == 2)
        world.servers[0].send(BROKEN + wire(b"GET1"))
        sim.run(until=lambda: client.received == wire(b"GET1", b"NO_ANSWER"))
        assert sim.now == pytest.approx(5.0)


def test_with_reconnect_a_damaged_reply_to_any_request_ends_the_connection() -> None:
    class Strict(ByName):
        orphans = "reconnect"

    with Simulation(1) as sim:
        world = World(sim, Strict, silent)
        client = world.client(wire(b"GET1"))
        sim.run(until=lambda: bool(world.at_server))
        world.servers[0].send(BROKEN)
        sim.run(until=lambda: client.received == wire(b"UNMATCHED"))


def test_a_damaged_reply_to_a_client_that_has_left_is_late() -> None:
    with Simulation(1) as sim:
        world = World(sim, InOrder, silent)
        leaving, client = world.client(wire(b"GET1")), world.client(wire(b"GET2"))
        sim.run(until=lambda: world.at_server.count(b"\n") == 2)
        leaving.reset()
        sim.elapse(0.1)
        world.servers[0].send(BROKEN + wire(b"TWO"))
        sim.run(until=lambda: client.received == wire(b"TWO"))
        assert world.service.counts["late"] == 1


# -- one answer for several --------------------------------------------------------------------


class Sharing(OneAtATime):
    shares_s = 2.0


def test_equal_requests_cost_the_device_one_and_each_client_gets_its_own_id() -> None:
    with Simulation(1) as sim:
        world = World(sim, Sharing, answering)
        clients = [world.client(b"%d get it\n" % n) for n in range(10)]
        sim.run(until=lambda: all(client.received for client in clients))
        sim.elapse(1.0)
        later = world.client(b"77 get it\n")
        sim.run(until=lambda: bool(later.received))
        assert [bytes(client.received) for client in (*clients, later)] == [
            *(b"%d GET IT\n" % n for n in range(10)), b"77 GET IT\n"
        ]  # fmt: skip
        assert world.at_server == b"0 get it\n"
        assert world.service.counts["shared"] == 10
        sim.elapse(2.0)
        later.send(b"78 get it\n")
        sim.run(until=lambda: len(lines_of(later)) == 2)
        assert len(lines_of(world.servers[0])) == 2


def test_a_write_ends_the_sharing() -> None:
    with Simulation(1) as sim:
        world = World(sim, Sharing, answering)
        client = world.client(b"1 get it\n")
        sim.run(until=lambda: bool(client.received))
        client.send(b"2 set it\n3 get it\n")
        sim.run(until=lambda: len(lines_of(client)) == 3)
        assert [line.partition(b" ")[2] for line in lines_of(world.servers[0])] == [
            b"get it", b"set it", b"get it"
        ]  # fmt: skip


def test_if_the_first_that_asked_leaves_the_others_get_the_answer() -> None:
    with Simulation(1) as sim:
        world = World(sim, Sharing, silent)
        busy = world.client(b"0 set it\n")
        sim.elapse(0.1)
        world.servers[0].send(b"0 ok\n")
        sim.elapse(0.1)
        first, second = world.client(b"1 get it\n"), world.client(b"2 get it\n")
        sim.elapse(0.1)
        first.reset()
        sim.elapse(0.1)
        number = lines_of(world.servers[0])[-1].partition(b" ")[0]
        world.servers[0].send(number + b" it\n")
        sim.run(until=lambda: second.received == b"2 it\n")
        assert world.service.counts["late"] == 0
        third, fourth = world.client(b"3 get that\n"), world.client(b"4 get that\n")
        sim.elapse(0.1)
        for client in (third, fourth):
            client.reset()
        sim.elapse(0.1)
        number = lines_of(world.servers[0])[-1].partition(b" ")[0]
        world.servers[0].send(number + b" that\n")
        sim.elapse(0.1)
        assert world.service.counts["late"] == 1, "all have left"
        busy.close()


def test_when_a_shared_request_fails_all_get_the_reason() -> None:
    with Simulation(1) as sim:
        world = World(sim, Sharing, silent)
        clients = [world.client(b"%d get it\n" % n) for n in range(3)]
        sim.run(until=lambda: all(client.received for client in clients))
        assert [bytes(client.received) for client in clients] == [
            b"%d NO_ANSWER\n" % n for n in range(3)
        ]


# -- several upstreams -------------------------------------------------------------------------


class Routed(Device):
    """The first letter of a text names the upstream; "-": none does."""

    needs_upstream = None

    def place(self, request: bytes) -> str | None:
        name = request.partition(b" ")[2][:1].decode()
        return None if name in "-" else name


class Routes:
    """A proxy with the upstreams a and b, and none of the listener's."""

    def __init__(self, sim: Simulation, plugin: type[Splitter]) -> None:
        self.world = World(sim, plugin)
        self.servers: dict[str, SimulatedServer] = {}
        self.world.service.upstream = None
        for name in "ab":
            address = Address.parse(f"tcp://{name}:1")

            def connected(peer: Peer) -> None:
                peer.on_data = lambda data: answering(peer, data)

            self.servers[name] = sim.server(address, connected)
            upstream = Upstream(self.world.engine, name, [Server(address)])
            self.world.service.upstreams = {**self.world.service.upstreams, name: upstream}

    def received(self, name: str) -> bytes:
        return b"".join(bytes(peer.received) for peer in self.servers[name].peers)


def test_each_place_has_a_connection_of_its_own() -> None:
    with Simulation(1) as sim:
        routes = Routes(sim, Routed)
        client, other = routes.world.client(b"1 a1\n2 b2\n3 a3\n"), routes.world.client(b"4 b4\n")
        sim.run(until=lambda: len(lines_of(client)) == 3 and bool(other.received))
        assert sorted(lines_of(client)) == [b"1 A1", b"2 B2", b"3 A3"]
        assert sorted(lines_of(routes.servers["a"].peers[0])) == [b"0 a1", b"1 a3"]
        assert sorted(lines_of(routes.servers["b"].peers[0])) == [b"0 b2", b"1 b4"]
        client.close()
        other.close()
        routes.world.settle()
        assert routes.world.service.persistent == {}


def test_a_place_without_room_is_waited_for() -> None:
    class Small(Routed):
        size = 2

    with Simulation(1) as sim:
        routes = Routes(sim, Small)
        client = routes.world.client(b"1 a dead\n2 a dead\n3 b\n4 a\n5 b\n")
        sim.elapse(1.0)
        assert routes.received("a") == b"0 a dead\n1 a dead\n"
        assert client.received == b"3 B\n"
        client.end()
        sim.run(until=lambda: client.ended)
        assert lines_of(client)[1:3] == [b"1 NO_ANSWER", b"2 NO_ANSWER"]
        assert sorted(lines_of(client)[3:]) == [b"4 A", b"5 B"]


def test_the_loss_of_one_place_costs_the_other_nothing() -> None:
    with Simulation(1) as sim:
        routes = Routes(sim, Routed)
        client = routes.world.client(b"1 a dead\n2 b dead\n")
        sim.elapse(1.0)
        routes.servers["a"].peers[0].reset()
        sim.run(until=lambda: client.received == b"1 CONNECTION_LOST\n")
        routes.servers["b"].peers[0].send(b"0 b\n")
        sim.run(until=lambda: client.received == b"1 CONNECTION_LOST\n2 b\n")


@pytest.mark.parametrize(
    ("sent", "mistake"),
    [
        (b"1 c\n", "place() has named 'c', which is no upstream of its"),
        (b"1 - keyless\n", "place() has named no upstream"),
    ],
)
def test_a_place_that_is_no_upstream_ends_the_client(sent: bytes, mistake: str) -> None:
    with Simulation(1) as sim:
        routes = Routes(sim, Routed)
        client = routes.world.client(sent)
        sim.run(until=lambda: client.reset_seen)
        assert mistake in str(routes.world.mistakes[0])


def test_after_a_reload_no_place_is_connected_before_all_old_connections_have_closed() -> None:
    """The old configuration may name the same device as another upstream."""
    with Simulation(1) as sim:
        routes = Routes(sim, Routed)
        world = routes.world
        old = world.client(b"1 a dead\n")
        sim.elapse(1.0)
        world.service = replace(world.service, origin="new")
        new = world.client(b"1 b1\n")
        sim.elapse(1.0)
        assert routes.servers["b"].peers == []
        routes.servers["a"].peers[0].send(b"0 a\n")
        sim.run(until=lambda: new.received == b"1 B1\n")
        assert old.received == b"1 a\n"
        assert old.ended
        assert routes.servers["a"].peers[0].ended


def test_after_a_reload_an_old_client_does_not_take_a_place_from_a_new_one() -> None:
    with Simulation(1) as sim:
        routes = Routes(sim, Routed)
        world = routes.world
        old = world.client(b"1 a dead\n")
        sim.elapse(1.0)
        before, world.service = world.service, replace(world.service, origin="new")
        before.draining = True
        new = world.client(b"1 b1\n")
        sim.elapse(0.5)
        old.send(b"2 b2\n3 a\n")
        routes.servers["a"].peers[0].send(b"0 a\n")
        sim.run(until=lambda: old.ended and new.received == b"1 B1\n")
        assert old.received == b"1 a\n"
        new.send(b"4 b4\n")
        sim.run(until=lambda: new.received == b"1 B1\n4 B4\n")
        assert routes.received("b") == b"0 b1\n1 b4\n"
        assert len(routes.servers["b"].peers) == 1


def test_after_a_reload_without_changes_an_old_client_may_go_anywhere() -> None:
    with Simulation(1) as sim:
        routes = Routes(sim, Routed)
        world = routes.world
        old = world.client(b"1 a1\n")
        sim.run(until=lambda: old.received == b"1 A1\n")
        before, world.service = world.service, replace(world.service)
        before.draining = True
        new = world.client(b"1 a1\n")
        sim.run(until=lambda: new.received == b"1 A1\n")
        old.send(b"2 b2\n")
        sim.run(until=lambda: old.received == b"1 A1\n2 B2\n")
        new.send(b"2 b2\n")
        sim.run(until=lambda: new.received == b"1 A1\n2 B2\n")
        assert [len(routes.servers[name].peers) for name in "ab"] == [1, 1]


def test_a_message_without_a_place_may_be_rejected() -> None:
    with Simulation(1) as sim:
        routes = Routes(sim, Routed)
        client = routes.world.client(b"1 \n")
        sim.run(until=lambda: client.received == b"what?\n")
        assert routes.world.mistakes == []
