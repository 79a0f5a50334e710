"""The bundled mllp: HL7 messages are verified, routed, and answered by receivers or the proxy."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vcproxy.config.errors import OptionsError
from vcproxy.config.options import read_options
from vcproxy.drivers.sim import NetworkFaults, Peer, seeds
from vcproxy.plugins.mllp import Mllp
from vcproxy.protocols.hl7 import Hl7Answer, Hl7Header
from vcproxy.testing import fragments
from vcproxy.testing.proxy import SimulatedProxy

CONF: dict[str, Any] = {
    "accept": {"MSH-9": ["ADT", "ORU^R01"], "MSH-11": ["P"], "MSH-12": ["2.5.1"]},
    "routes": [{"where": {"MSH-9": ["ORU"], "MSH-6": ["SOUTH"]}, "upstream": "laboratory"}],
}


def simulated(table: dict[str, Any] | None = None, **keywords: Any) -> SimulatedProxy:
    """Return a simulated proxy with these options, and the servers "server" and "lab"."""
    options, _ = read_options(Mllp, CONF if table is None else table, Path())
    return SimulatedProxy(Mllp, options=options, upstreams={"laboratory": ["lab"]}, **keywords)


def message(name: str = "1", kind: str = "ADT^A01", to: str = "SOUTH") -> bytes:
    """Return a message without its block."""
    return f"MSH|^~\\&|LAB|NORTH|EHR|{to}|||{kind}|{name}|P|2.5.1\rPID|1\r".encode()


def block(content: bytes) -> bytes:
    """Return a message in its block."""
    return b"\x0b" + content + b"\x1c\r"


def contents(received: bytes | bytearray) -> list[bytes]:
    """Return the messages in a stream of blocks, which nothing stands between."""
    *blocks, rest = bytes(received).split(b"\x1c\r")
    assert not rest
    assert all(each.startswith(b"\x0b") for each in blocks)
    return [each[1:] for each in blocks]


def ack(name: str, code: str = "AA") -> bytes:
    """Return the answer of a receiver, in its block."""
    return block(
        f"MSH|^~\\&|EHR|SOUTH|LAB|NORTH|||ACK|a{name}|P|2.5.1\rMSA|{code}|{name}\r".encode()
    )


def answers(client: Peer) -> list[tuple[str, str]]:
    """Return MSA-1 and MSA-2 of the answers that a client has received."""
    found = contents(client.received)
    assert all(each.startswith(b"MSH|^~\\&|") and b"|ACK" in each for each in found)
    segments = [each.split(b"\r")[1].decode().split("|") for each in found]
    assert all(segment[0] == "MSA" for segment in segments)
    return [(segment[1], segment[2]) for segment in segments]


def acknowledging(peer: Peer) -> None:
    """Acknowledge each whole message that a server receives."""
    done = 0

    def arrived(_: bytes) -> None:
        nonlocal done
        whole = bytes(peer.received).split(b"\x1c\r")[:-1]
        for each in whole[done:]:
            peer.send(ack(Hl7Header.parse(each[1:]).control_id.decode()))
        done = len(whole)

    peer.on_data = arrived


ACKNOWLEDGING: dict[str, Callable[[Peer], None]] = {"server": acknowledging, "lab": acknowledging}


def test_a_message_and_its_answer_are_forwarded_unchanged() -> None:
    with simulated() as proxy:
        client = proxy.client()
        client.send(block(message()))
        server = proxy.server()
        proxy.elapse(0.1)
        assert server.received == block(message())
        server.send(ack("1", "AE"))
        proxy.elapse(0.1)
        assert client.received == ack("1", "AE")


@pytest.mark.parametrize(("first", "rest"), fragments(block(message()) + block(message("2"))))
def test_messages_may_arrive_in_pieces_or_two_at_once(first: bytes, rest: bytes) -> None:
    with simulated(on_connect=ACKNOWLEDGING) as proxy:
        client = proxy.client()
        client.send(first)
        proxy.elapse(0.1)
        client.send(rest)
        proxy.elapse(0.1)
        assert answers(client) == [("AA", "1"), ("AA", "2")]


def test_one_message_in_ten_segments() -> None:
    with simulated(on_connect=ACKNOWLEDGING) as proxy:
        client = proxy.client()
        wire = block(message())
        for at in range(0, len(wire), len(wire) // 9):
            client.send(wire[at : at + len(wire) // 9])
            proxy.elapse(0.1)
        assert answers(client) == [("AA", "1")]


def test_a_receiver_has_one_connection_and_one_message_at_a_time() -> None:
    with simulated() as proxy:
        clients = [proxy.client() for _ in range(3)]
        for number, client in enumerate(clients):
            client.send(block(message(f"{number}")))
        server = proxy.server()
        for count in range(1, 4):
            proxy.elapse(0.1)
            names = [Hl7Header.parse(each).control_id for each in contents(server.received)]
            assert len(names) == count
            server.send(ack(names[-1].decode()))
        proxy.elapse(0.1)
        assert proxy.connections() == 1
        assert [answers(client) for client in clients] == [[("AA", f"{n}")] for n in range(3)]


def test_two_clients_may_use_the_same_control_id() -> None:
    with simulated({"in_flight": 0}) as proxy:
        first, second = proxy.client(), proxy.client()
        first.send(block(message("7", to="EAST")))
        proxy.elapse(0.1)
        second.send(block(message("7", to="WEST")))
        server = proxy.server()
        proxy.elapse(0.1)
        assert contents(server.received) == [message("7", to="EAST")]
        server.send(ack("7", "AE"))
        proxy.elapse(0.1)
        assert answers(first) == [("AE", "7")]
        assert second.received == b""
        server.send(ack("7"))
        proxy.elapse(0.1)
        assert answers(second) == [("AA", "7")]


@pytest.mark.parametrize(
    ("changed", "code", "why"),
    [
        ((b"ADT^A01", b"MDM^T02"), "AR", b"MSH-9: not an accepted value"),
        ((b"|2.5.1", b"|2.3"), "AR", b"MSH-12: not an accepted value"),
        ((b"|P|", b"|T|"), "AR", b"MSH-11: not an accepted value"),
        ((b"|P|", b"||"), "AR", b"MSH-11, the processing ID, is missing"),
        ((b"|1|", b"||"), "AE", b"MSH-10, the message control ID, is missing"),
    ],
)
def test_a_message_that_is_not_accepted_reaches_no_receiver(
    changed: tuple[bytes, bytes], code: str, why: bytes
) -> None:
    with simulated(on_connect=ACKNOWLEDGING) as proxy:
        client = proxy.client()
        sent = message().replace(*changed)
        client.send(block(sent) + block(message("2")))
        proxy.elapse(0.1)
        control_id = Hl7Header.parse(sent).control_id.decode()
        assert answers(client) == [(code, control_id), ("AA", "2")]
        assert why in contents(client.received)[0]
        assert contents(proxy.server().received) == [message("2")]
        assert proxy.metric("hl7_refused", code=code) == 1
        assert f'message "{control_id}" answered {code}: {why.decode()}' in proxy.log[0]


@pytest.mark.parametrize("sent", [b"", b"hello", b"PID|1\r", b"MSH", b"MSH|^~\\&|LAB\nPID|1\n"])
def test_what_is_no_hl7_is_answered_without_a_control_id(sent: bytes) -> None:
    with simulated() as proxy:
        client = proxy.client()
        client.send(block(sent))
        proxy.elapse(0.1)
        assert answers(client) == [("AR", "")]
        assert not client.ended
        assert proxy.connections() == 0


@pytest.mark.parametrize("end", [b"\r", b"\n", b"\r\n"])
def test_a_second_message_in_a_block_is_not_forwarded(end: bytes) -> None:
    """Receivers that split batches would take it for a message, which was not verified."""
    with simulated(on_connect=ACKNOWLEDGING) as proxy:
        client = proxy.client()
        client.send(block(message() + end + message("2", "MDM^T02")))
        proxy.elapse(0.1)
        assert answers(client) == [("AE", "1")]
        assert b"another MSH follows" in client.received
        assert proxy.connections() == 0


@pytest.mark.parametrize("size", [5_000, 7_900, 8_200, 16_300])
@pytest.mark.parametrize("number", [3, 9, 10, 11, 12, 18])
def test_an_answer_to_a_message_with_a_long_field_is_within_the_limit(
    number: int, size: int
) -> None:
    fields = [b"MSH", b"^~\\&", *[b""] * 6, b"BAD^A01", b"1", b"P", b"2.1", *[b""] * 6]
    fields[number - 1] += b"1" * size
    with simulated({"limit": "16KiB"} | CONF) as proxy:
        client = proxy.client()
        client.send(block(b"|".join(fields)))
        proxy.elapse(0.1)
        [(code, _)] = answers(client)
        assert code == "AR"
        assert len(client.received) < 16 << 10
        assert not client.ended


def test_a_flood_of_bad_messages_does_not_flood_the_log() -> None:
    with simulated() as proxy:
        client = proxy.client()
        for second in range(120):
            client.send(block(b"MSH|%d" % second) * 10)
            proxy.elapse(1)
        assert client.received.count(b"MSA|AR") == 1200
        assert proxy.metric("hl7_refused", code="AR") == 1200
        assert len(proxy.log) == 20


def test_half_a_message_and_a_whole_one_in_one_block_are_not_forwarded() -> None:
    with simulated(on_connect=ACKNOWLEDGING) as proxy:
        client = proxy.client()
        client.send(b"\x0b" + message()[:30] + block(message("2")) + block(message("3")))
        proxy.elapse(0.1)
        assert answers(client) == [("AE", ""), ("AA", "3")]
        assert contents(proxy.server().received) == [message("3")]


def test_a_sender_that_dies_in_mid_message_leaves_nothing_at_the_receiver() -> None:
    with simulated(on_connect=ACKNOWLEDGING) as proxy:
        client = proxy.client()
        client.send(block(message()) + block(message("2"))[:-1])
        client.end()
        proxy.elapse(0.1)
        assert answers(client) == [("AA", "1")]
        assert client.ended
        assert contents(proxy.server().received) == [message()]
        assert any("stream ended inside a message" in line for line in proxy.log)


@pytest.mark.parametrize("garbage", [b"hello", b"MSH|^~\\&|", b"\x1c\r", b"\x00" * 100])
def test_after_garbage_between_messages_a_client_is_not_read(garbage: bytes) -> None:
    with simulated(on_connect=ACKNOWLEDGING) as proxy:
        client = proxy.client()
        client.send(block(message()) + garbage + block(message("2")))
        proxy.elapse(0.1)
        assert answers(client) == [("AA", "1")]
        assert client.ended
        assert contents(proxy.server().received) == [message()]
        assert any("no further input is read" in line for line in proxy.log)


def test_an_over_long_message_is_not_forwarded() -> None:
    with simulated({"limit": "16KiB"}, on_connect=ACKNOWLEDGING) as proxy:
        client = proxy.client()
        client.send(block(message()) + block(message("2") + bytes(20_000)))
        proxy.elapse(0.1)
        assert answers(client) == [("AA", "1")]
        assert client.ended
        assert contents(proxy.server().received) == [message()]


def test_routes_choose_the_receiver() -> None:
    with simulated(on_connect=ACKNOWLEDGING) as proxy:
        client = proxy.client()
        sent = [
            message("1", "ORU^R01"),
            message("2", "ORU^R01", to="EAST"),
            message("3", "ADT^A01"),
            message("4", "ORU^R01^ORU_R01"),
        ]
        client.send(b"".join(map(block, sent)))
        proxy.elapse(0.1)
        assert sorted(answers(client)) == [("AA", f"{n}") for n in (1, 2, 3, 4)]
        assert contents(proxy.server("lab").received) == [sent[0], sent[3]]
        assert contents(proxy.server().received) == [sent[1], sent[2]]


def test_no_receiver_can_be_reached() -> None:
    with simulated(refusing=["server"]) as proxy:
        client = proxy.client()
        client.send(block(message()))
        proxy.elapse(1.0)
        assert answers(client) == [("AR", "1")]
        assert b"no server can be reached" in client.received
        assert not client.ended


def test_a_receiver_that_is_silent() -> None:
    """The message that was sent gets AE: it may have been processed. The one that waited for it
    gets AR if its time has passed too."""
    with simulated({"timeout": "10s", "queue_timeout": "5s"}) as proxy:
        first, second = proxy.client(), proxy.client()
        first.send(block(message()))
        proxy.server()
        proxy.elapse(0.1)
        second.send(block(message("2")))
        proxy.elapse(5.1)
        assert answers(second) == [("AR", "2")]
        assert b"not sent in time" in second.received
        assert first.received == b""
        proxy.elapse(5.0)
        assert answers(first) == [("AE", "1")]
        assert b"no answer in time" in first.received


def test_a_late_answer_reaches_no_client() -> None:
    with simulated({"timeout": "1s", "in_flight": 0}) as proxy:
        client, other = proxy.client(), proxy.client()
        client.send(block(message()))
        server = proxy.server()
        proxy.elapse(0.9)
        other.send(block(message("2")))
        server.send(ack("nothing"))  # it is not silent
        proxy.elapse(0.2)
        assert answers(client) == [("AE", "1")]
        server.send(ack("1") + ack("2"))
        proxy.elapse(0.1)
        assert answers(client) == [("AE", "1")]
        assert answers(other) == [("AA", "2")]


@pytest.mark.parametrize(
    "reply", [ack("2"), block(message("1")), block(b"hello"), block(b"MSH|^~\\&|\rMSA|AA|\r")]
)
def test_what_does_not_answer_the_message_reaches_no_client(reply: bytes) -> None:
    with simulated({"timeout": "1s"}) as proxy:
        client = proxy.client()
        client.send(block(message("1")))
        server = proxy.server()
        proxy.elapse(0.1)
        server.send(reply)
        proxy.elapse(0.1)
        assert client.received == b""
        assert proxy.service.counts["orphan"] == 1
        server.send(ack("1"))
        proxy.elapse(0.1)
        assert answers(client) == [("AA", "1")]


@pytest.mark.parametrize("end", ["reset", "close"])
@pytest.mark.parametrize("begun", [b"", ack("1")[:20], b"hello"])
def test_a_receiver_that_disconnects_before_its_answer(end: str, begun: bytes) -> None:
    with simulated() as proxy:
        client = proxy.client()
        client.send(block(message()))
        server = proxy.server()
        proxy.elapse(0.1)
        server.send(begun)
        getattr(server, end)()
        proxy.elapse(0.1)
        assert answers(client) == [("AE", "1")]
        client.send(block(message("2")))
        again = proxy.server()
        again.send(ack("2"))
        proxy.elapse(0.1)
        assert answers(client) == [("AE", "1"), ("AA", "2")]


@pytest.mark.parametrize(
    "reply",
    [
        b"\x0bMSH|^~\\&|" + ack("1"),  # half an answer, and a whole one
        b"hello" + ack("1"),
        ack("2") + b"\x1c\r" + ack("1"),
        block(b"MSH|^~\\&|" + b"x" * 20_000),
    ],
)
def test_an_answer_that_cannot_be_read_reaches_no_client(reply: bytes) -> None:
    with simulated({"limit": "16KiB"}) as proxy:
        client = proxy.client()
        client.send(block(message()))
        server = proxy.server()
        proxy.elapse(0.1)
        server.send(reply)
        proxy.elapse(0.1)
        assert answers(client) == [("AE", "1")]
        assert not client.ended
        assert [line for line in proxy.log if "AE" in line]


def test_a_message_without_an_answer_is_sent_again() -> None:
    with simulated({"attempts": 2}) as proxy:
        client = proxy.client()
        client.send(block(message()))
        server = proxy.server()
        proxy.elapse(0.1)
        server.close()
        again = proxy.server()
        proxy.elapse(0.1)
        assert contents(again.received) == [message()]
        again.close()
        proxy.elapse(0.1)
        assert answers(client) == [("AE", "1")]
        assert proxy.connections() == 2


def test_in_enhanced_mode_the_proxy_sends_accept_acknowledgements() -> None:
    with simulated() as proxy:
        client = proxy.client()
        client.send(block(message(kind="MDM^T02").replace(b"2.5.1", b"2.5.1|||AL|NE")))
        proxy.elapse(0.1)
        assert answers(client) == [("CR", "1")]


def test_a_sender_that_waits_for_no_answer_gets_none() -> None:
    with simulated() as proxy:
        client = proxy.client()
        client.send(block(message().replace(b"2.5.1", b"2.5.1|||NE|NE")))
        proxy.elapse(0.1)
        assert client.received == b""
        assert not client.ended
        assert proxy.connections() == 0
        assert 'message "1" refused; it asks for no answer: MSH-15' in proxy.log[0]


@pytest.mark.parametrize(
    "table",
    [
        {"accept": {"MSH-7": ["1"]}},
        {"accept": {"msh-9": ["ADT"]}},
        {"accept": {"MSH-9": "ADT"}},
        {"routes": [{"where": {"MSH-9": ["ADT"]}}]},
        {"routes": [{"upstream": "lab"}]},
        {"in_flight": -1},
        {"attempts": 0},
        {"limit": "15KiB"},
        {"timeout": "0s"},
        {"queue_timeout": "0s"},
        {"framing": "lines"},
    ],
)
def test_options_that_are_refused(table: dict[str, Any]) -> None:
    with pytest.raises(OptionsError):
        simulated(table)


PIECES = [b"\x0b", b"\x1c\r", b"\r", message("5"), block(message("6")), b"MSH|^~\\&|", b"\xff|"]


@settings(deadline=None, max_examples=100)
@given(st.lists(st.sampled_from(PIECES) | st.binary(max_size=20), max_size=12))
def test_only_verified_messages_reach_a_receiver(pieces: list[bytes]) -> None:
    with simulated({}, on_connect=ACKNOWLEDGING) as proxy:
        client = proxy.client()
        for piece in pieces:
            client.send(piece)
        proxy.elapse(0.1)
        sent = b"".join(bytes(peer.received) for peer in proxy.peers())
        for each in contents(sent):
            assert Hl7Header.parse(each).fault() is None
            assert block(each) in b"".join(pieces)
        assert not [line for line in proxy.log if line.startswith("error")]


@pytest.mark.parametrize("seed", list(seeds(20)))
def test_each_client_gets_its_own_answers(seed: int) -> None:
    faults = NetworkFaults.all()
    with simulated({"in_flight": 0}, seed=seed, faults=faults, on_connect=ACKNOWLEDGING) as proxy:
        clients = [proxy.client() for _ in range(5)]
        for number, client in enumerate(clients):
            for serial in range(5):
                client.send(block(message(f"{number}.{serial}")))
        proxy.elapse(600.0)
        for number, client in enumerate(clients):
            *whole, _ = bytes(client.received).split(b"\x1c\r")
            for each in whole:
                answer = Hl7Answer.parse(each[1:])
                assert answer is not None
                assert answer.control_id.startswith(b"%d." % number), f"SEED={seed}"
