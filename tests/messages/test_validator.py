"""Validators: only accepted messages reach a server; for any other the client gets an answer or is
closed."""

from __future__ import annotations

from random import Random

import pytest

from tests.sessions.world import World, shout, silent
from vcproxy.drivers.sim import NetworkFaults, Peer, Simulation, seeds
from vcproxy.framing.framing import length_prefix, lines
from vcproxy.messages.validator import Validator
from vcproxy.messages.verdict import Accept, Defer, Reject, Resend, Verdict
from vcproxy.testing.machines import check_machine
from vcproxy.testing.proxy import SimulatedProxy


def look_up(order: bytes) -> object:
    """Look an order up in another service; runs on another thread."""
    if order == b"broken":
        raise ConnectionError("the service is down")
    return {b"odd": object(), b"known": True, b"slow": Accept(wait=b"working\n")}.get(order, False)


def decide(message: bytes, known: object) -> Verdict:
    """Return the verdict for that value."""
    return Accept() if known else Resend(b"unknown\n")


class Orders(Validator):
    """Returns a verdict of each kind, by the first word."""

    framing = lines(limit=100)

    def check(self, message: bytes) -> Verdict:
        word, _, rest = message.partition(b" ")
        match word:
            case b"ok":
                return Accept()
            case b"rewrite":
                return Accept(rewritten=rest)
            case b"wait":
                return Accept(wait=b"working\n")
            case b"bad":
                return Reject(b"bad\n")
            case b"worse":
                return Reject(b"worse\n", keep=True)
            case b"verdict":
                return Defer(look_up, rest, deadline="2s")
            case b"defer":
                return Defer(look_up, rest, deadline="2s", then=decide)
            case b"nonsense":
                return "accept"  # type: ignore[return-value]
            case b"crash":
                raise KeyError("crash")
        return Resend(b"what?\n")


RUNS: list[bytes] = []


def counted(name: bytes) -> bool:
    """Return whether a customer is known, and count the look-ups."""
    RUNS.append(name)
    return name != b"eve"


class Customers(Validator):
    """Looks each customer up once in ten seconds."""

    framing = lines(limit=100)

    def check(self, message: bytes) -> Verdict:
        return Defer(counted, message, deadline="2s", then=decide, shares="10s")


def test_equal_look_ups_of_all_clients_are_made_once() -> None:
    RUNS.clear()
    with SimulatedProxy(Customers) as proxy:
        first = [proxy.client() for _ in range(3)]
        for client in first:
            client.send(b"ann\n")
        proxy.elapse(1)
        later, other = proxy.client(), proxy.client()
        later.send(b"ann\n")
        other.send(b"eve\n")
        proxy.elapse(1)
        assert RUNS == [b"ann", b"eve"]
        assert [peer.received for peer in proxy.peers()] == [b"ann\n"] * 4
        assert other.received == b"unknown\n"
        proxy.elapse(10)
        later.send(b"ann\n")
        proxy.elapse(1)
        assert RUNS == [b"ann", b"eve", b"ann"]


class InTurn(Orders):
    in_turn = True


def test_the_machine_is_sound() -> None:
    never = {"CONNECTED": "CONNECTING", "WRITE_COMPLETE": "ENDED", "Called": "DEFERRED"}
    states = ["TALKING", "READING", "DEFERRED", "CONNECTING", "ENDED"]
    assert check_machine(Validator) == {
        f"{state} {key}" for key, only in never.items() for state in states if state != only
    }


@pytest.mark.parametrize(
    ("sent", "answered", "forwarded"),
    [
        (b"ok 1\n", b"OK 1\n", b"ok 1\n"),
        (b"ok 1\nok 2\n", b"OK 1\nOK 2\n", b"ok 1\nok 2\n"),
        (b"rewrite hello\n", b"HELLO\n", b"hello\n"),
        (b"wait 1\n", b"working\nWAIT 1\n", b"wait 1\n"),
        (b"defer known\n", b"DEFER KNOWN\n", b"defer known\n"),
        (b"verdict slow\n", b"working\nVERDICT SLOW\n", b"verdict slow\n"),
        (b"defer new\nok 2\n", b"unknown\nOK 2\n", b"ok 2\n"),
        (b"defer known\nok 2\n", b"DEFER KNOWN\nOK 2\n", b"defer known\nok 2\n"),
        (b"huh\nok 2\n", b"what?\nOK 2\n", b"ok 2\n"),
        (b"worse\nok 2\n", b"worse\nOK 2\n", b"ok 2\n"),
        (b"ok 1\nbad\nok 2\n", b"OK 1\nbad\n", b"ok 1\n"),
        (b"ok 1\nhalf", b"OK 1\n", b"ok 1\n"),
        (b"ok 1\n" + b"x" * 101 + b"\nok 2\n", b"OK 1\n", b"ok 1\n"),
    ],
)
def test_verdicts_in_turn_with_messages_in_pieces(
    sent: bytes, answered: bytes, forwarded: bytes
) -> None:
    for faults in (
        NetworkFaults(),
        NetworkFaults(short=0.5, one_byte=0.3, call_s=(0.0, 0.5), lock_miss=0.1),
    ):
        with Simulation(1, faults) as sim:
            world = World(sim, InTurn, shout)
            client = world.client(sent)
            client.end()
            sim.run(until=lambda client=client: client.ended)  # type: ignore[misc]
            assert client.received == answered
            assert world.at_server == forwarded
            client.close()
            world.settle()


@pytest.mark.parametrize("sent", [b"bad\n", b"huh\n", b"half", b"x" * 200, b"defer new\n"])
def test_without_a_valid_message_no_server_is_connected(sent: bytes) -> None:
    with Simulation(1) as sim:
        world = World(sim, Orders, shout)
        client = world.client(sent)
        client.end()
        sim.run(until=lambda: client.ended)
        assert world.servers == []
        world.settle()


@pytest.mark.parametrize(
    ("sent", "counted", "logged"),
    [
        (b"half", "truncated", "stream ended inside a message"),
        (b"x" * 101 + b"\n", "oversized", "message over the size limit"),
    ],
)
def test_a_framing_fault_is_counted_and_logged(sent: bytes, counted: str, logged: str) -> None:
    with Simulation(1) as sim:
        world = World(sim, Orders, shout)
        client = world.client(sent)
        client.end()
        sim.run(until=lambda: client.ended)
        assert world.service.counts == {counted: 1}
        assert logged in world.logged[-1]


@pytest.mark.parametrize(
    ("limit", "logged"),
    [("inactivity_s", "nothing moved for too long"), ("active_s", "open for too long")],
)
def test_a_rejected_client_waits_for_its_server_until_a_timeout(limit: str, logged: str) -> None:
    limits: dict[str, float] = {limit: 30.0}
    with SimulatedProxy(Orders, **limits) as proxy:  # type: ignore[arg-type]
        client = proxy.client()
        client.send(b"ok 1\nbad\n")
        server = proxy.server()
        proxy.elapse(29)
        assert client.received == b"bad\n"
        assert server.ended
        assert not client.reset_seen
        proxy.run()
        assert client.reset_seen
        assert server.reset_seen
        assert proxy.log[-1].endswith(f"connection timed out: {logged}")


def test_an_invalid_length_ends_the_input() -> None:
    class Prefixed(Orders):
        framing = length_prefix(2, inclusive=True)

    with Simulation(1) as sim:
        world = World(sim, Prefixed, shout)
        client = world.client(b"\0\1garbage")
        sim.run(until=lambda: client.ended)
        assert client.received == b""
        assert world.servers == []
        assert world.service.counts == {"invalid": 1}


@pytest.mark.parametrize("sent", [b"crash\n", b"nonsense\n", b"rewrite " + b"a" * 101 + b"\n"])
def test_a_check_that_fails_ends_its_conversation_and_no_other(sent: bytes) -> None:
    class Unlimited(Orders):
        framing = lines(limit=109)

        def check(self, message: bytes) -> Verdict:
            verdict = super().check(message)
            if isinstance(verdict, Accept) and verdict.rewritten:
                return Accept(rewritten=message * 2)
            return verdict

    with Simulation(1) as sim:
        world = World(sim, Unlimited, shout)
        other = world.client(b"ok 1\n")
        client = world.client(sent, b"ok 2\n")
        sim.run(until=lambda: client.reset_seen)
        other.send(b"ok 3\n")
        sim.run(until=lambda: other.received == b"OK 1\nOK 3\n")
        assert world.at_server == b"ok 1\nok 3\n"
        assert len(world.mistakes) == 1
        assert "@ READING got 'WRITE_READY' from OS" in world.logged[-1]


@pytest.mark.parametrize(
    ("sent", "why"),
    [
        (b"defer broken\n", "the service is down"),
        (b"defer odd\n", "neither a verdict nor plain data"),
        (b"defer slow\n", "no answer in 2s"),
    ],
)
def test_a_deferred_check_that_fails_ends_the_conversation(sent: bytes, why: str) -> None:
    slow = NetworkFaults(call_s=(3.0, 4.0)) if b"slow" in sent else NetworkFaults()
    with Simulation(1, slow) as sim:
        world = World(sim, Orders, shout)
        client = world.client(sent, b"ok 2\n")
        sim.run(until=lambda: client.reset_seen)
        assert world.servers == []
        assert why in world.logged[-1]
        assert "@ DEFERRED got 'Called' from OS" in world.logged[-1]
        world.settle()


def test_plain_data_without_then_ends_the_conversation() -> None:
    with Simulation(1) as sim:
        world = World(sim, Orders, shout)
        client = world.client(b"verdict known\n")
        sim.run(until=lambda: client.reset_seen)
        assert "the verdict was True" in str(world.mistakes[0])


def test_a_client_is_not_read_while_its_message_is_deferred() -> None:
    with Simulation(1, NetworkFaults(call_s=(1.0, 1.0))) as sim:
        world = World(sim, Orders, shout)
        client = world.client(b"defer known\n", b"ok 2\n" * 120_000)
        sim.elapse(0.9)
        assert client.sent < 600_000  # a socket buffer, and data that is read ahead
        assert world.servers == []
        sim.run(until=lambda: len(client.received) == 12 + 5 * 120_000)
        assert world.at_server.startswith(b"defer known\nok 2\n")


@pytest.mark.parametrize("sent", [b"ok 1\n", b"what is it\n"])
def test_a_client_that_floods_without_reading_is_bounded(sent: bytes) -> None:
    with Simulation(1, NetworkFaults(socket=(4096, 4096))) as sim:
        world = World(sim, Orders, shout)
        client = world.client(sent * 150_000)
        client.stall()
        sim.elapse(100.0)
        assert client.sent < len(sent) * 145_000
        assert world.engine.memory.used < 2_000_000
        client.resume()
        client.end()
        sim.run(until=lambda: client.ended)
        assert client.received == (sent.upper() if sent[:2] == b"ok" else b"what?\n") * 150_000
        client.close()
        world.settle()


def test_a_server_that_does_not_read_stops_its_client() -> None:
    with Simulation(1) as sim:
        world = World(sim, Orders, silent)
        client = world.client(b"ok 1\n")
        sim.run(until=lambda: world.at_server == b"ok 1\n")
        world.servers[0].stall()
        client.send(b"ok 2\n" * 150_000)
        sim.elapse(100.0)
        assert world.engine.memory.used < 1_000_000
        world.servers[0].resume()
        sim.run(until=lambda: world.at_server == b"ok 1\n" + b"ok 2\n" * 150_000)


def test_a_reset_by_the_server_resets_the_client() -> None:
    with Simulation(1) as sim:
        world = World(sim, Orders, lambda peer, _: peer.reset())
        client = world.client(b"ok 1\n")
        sim.run(until=lambda: client.reset_seen)
        world.settle()


def test_the_end_of_the_server_closes_the_client_after_the_last_data() -> None:
    def last_data(peer: Peer, data: bytes) -> None:
        peer.send(b"x" * 1_000_000)
        peer.close()

    with Simulation(1) as sim:
        world = World(sim, Orders, last_data)
        client = world.client(b"ok 1\n")
        sim.run(until=lambda: client.ended)
        assert client.received == b"x" * 1_000_000


def test_without_a_server_the_client_is_closed() -> None:
    with Simulation(1) as sim:
        world = World(sim, Orders)
        client = world.client(b"wait 1\n")
        sim.run(until=lambda: client.ended)
        assert client.received == b"working\n"
        assert world.service.counts["unserved"] == 1
        client.close()
        world.settle()


def test_an_answer_never_falls_inside_a_framed_reply() -> None:
    def in_pieces(peer: Peer, data: bytes) -> None:
        peer.send(b"rep")
        sim.clock.after(1.0, lambda: peer.send(b"ly\n"))

    class Framed(Orders):
        replies = lines()

    with Simulation(1) as sim:
        world = World(sim, Framed, in_pieces)
        client = world.client(b"ok 1\n")
        sim.elapse(0.5)
        client.send(b"huh\n")
        sim.run(until=lambda: b"reply" in client.received)
        assert client.received == b"what?\nreply\n"


def test_a_reply_over_the_limit_resets_the_client() -> None:
    class Framed(Orders):
        replies = lines(limit=10)

    with Simulation(1) as sim:
        world = World(sim, Framed, lambda peer, _: peer.send(b"x" * 20 + b"\n"))
        client = world.client(b"ok 1\n")
        sim.run(until=lambda: client.reset_seen)
        assert client.received == b""
        assert world.service.counts["reply_oversized"] == 1


@pytest.mark.parametrize("batch", range(4))
def test_only_valid_messages_arrive_with_all_network_faults(batch: int) -> None:
    sent = [b"ok 1\n", b"huh\n", b"defer known\n", b"defer new\n", b"wait 2\n", b"worse\n"] * 20
    valid = b"".join(each for each in sent if each[:2] in (b"ok", b"wa") or b"known" in each)
    for seed in list(seeds(60))[batch::4]:
        with Simulation(seed, NetworkFaults.all().some(Random(seed))) as sim:
            world = World(sim, InTurn, shout, inactivity_s=30.0)
            clients = [world.client(*sent) for _ in range(3)]
            for client in clients:
                client.on_end = client.close
                client.end()
            sim.run()
            assert world.mistakes == []
            for peer in world.servers:
                assert valid.startswith(peer.received)
            world.settle()


def test_an_answer_after_bulk_data_is_not_delayed_by_a_bridge() -> None:
    bulk = bytes(3_000_000)
    with Simulation(1) as sim:
        world = World(sim, Orders, lambda peer, _: peer.send(bulk))
        client = world.client(b"ok 1\n")
        sim.run(until=lambda: len(client.received) > 2_000_000)
        assert any(vc.read_vio.bridge for vc in world.engine.vcs if vc.read_vio), "it is bridged"
        client.send(b"huh\n")
        sim.run(until=lambda: len(client.received) == len(bulk) + len(b"what?\n"))
        client.send(b"huh\n")
        sim.run(until=lambda: client.received.endswith(b"what?\n"))
        assert client.received.replace(b"what?\n", b"") == bulk


def test_messages_and_replies_are_framed_as_each_side_frames_them() -> None:
    class Gateway(Orders):
        framing = lines(limit=100)
        forwarding = length_prefix(2)
        replies = length_prefix(2)

    with Simulation(1) as sim:
        world = World(sim, Gateway, lambda peer, data: peer.send(b"\0\4done\0\3and"))
        client = world.client(b"ok 1\nhuh\n")
        sim.run(until=lambda: b"and\n" in client.received)
        assert client.received == b"what?\ndone\nand\n"
        assert world.at_server == b"\0\4ok 1"


def test_in_turn_replies_are_framed_like_the_messages_to_the_server() -> None:
    class Gateway(InTurn):
        framing = lines(limit=100)
        forwarding = length_prefix(1)

    with Simulation(1) as sim:
        world = World(sim, Gateway, lambda peer, data: peer.send(data.upper()))
        client = world.client(b"ok 1\nhuh\nok 2\n")
        sim.run(until=lambda: b"OK 2" in client.received)
        assert client.received == b"OK 1\nwhat?\nOK 2\n"
        assert world.at_server == b"\4ok 1\4ok 2"


def test_the_reason_of_a_verdict_is_kept_with_the_refused_message() -> None:
    class Reasons(Orders):
        def check(self, message: bytes) -> Verdict:
            return Resend(b"no\n", why="first") if message == b"1" else Reject(why="second")

    with SimulatedProxy(Reasons) as proxy:
        client = proxy.client()
        client.send(b"1\n2\n")
        client.end()
        proxy.run()
        assert [each.reason for each in proxy.engine.refused] == ["first", "second"]
        assert proxy.access_log[0]["reason"] == "second"
