"""Subscribers that a relay's `admit` decides on before they become sinks."""

from __future__ import annotations

from typing import ClassVar

import pytest

from tests.relay.test_relay import RelayProxy, relay
from vcproxy.drivers.sim import NetworkFaults, Peer
from vcproxy.engine.net import NetVConnection
from vcproxy.framing.framing import delimiter
from vcproxy.messages.verdict import Accept, Reject, Resend
from vcproxy.relay.relay import Relay
from vcproxy.testing import fragments, seeds
from vcproxy.tunnels.history import History

END = b"\r\n\r\n"


class Asked(Relay):
    """A subscriber asks with GET."""

    requests: ClassVar = {"subscribers": delimiter(END, limit=100)}

    def admit(self, subscriber: NetVConnection, request: bytes) -> Accept | Reject | Resend:
        match request:
            case b"GET /":
                return Accept(wait=b"welcome\n")
            case b"GET /quiet":
                return Accept()
            case b"GET /again":
                return Resend(b"again\n")
            case b"GET /fault":
                raise LookupError("no such thing")
            case b"GET / HTTP/1.1\r\nHost: here":
                return super().admit(subscriber, request)
            case b"GET /nothing":
                return None  # type: ignore[return-value]
            case b"GET /text":
                return Accept(wait="text")  # type: ignore[arg-type]
            case b"GET /notext":
                return Reject("text")  # type: ignore[arg-type]
            case b"GET /closed":
                subscriber.do_io_close()
                return Accept()
        return Reject(b"no\n")


def asks(proxy: RelayProxy, *pieces: bytes) -> Peer:
    """Connect a subscriber that sends these pieces."""
    peer = proxy.client("subscribers")
    for piece in pieces:
        peer.send(piece)
        proxy.settle()
    return peer


def test_a_subscriber_gets_its_answer_then_all_messages() -> None:
    with relay(Asked) as proxy:
        producer = proxy.produce(b"early\n")
        peer = asks(proxy, b"GET /" + END)
        proxy.send(producer, b"one\n")
        assert peer.received == b"welcome\none\n"
        assert [sink.name for sink in proxy.sinks] == ["proxy.subscribers 10.0.0.1:40002"]


@pytest.mark.parametrize("pieces", fragments(b"GET /" + END))
def test_a_request_may_arrive_in_pieces(pieces: tuple[bytes, bytes]) -> None:
    with relay(Asked) as proxy:
        peer = asks(proxy, *pieces)
        proxy.produce(b"one\n")
        assert peer.received == b"welcome\none\n"


def test_until_it_is_accepted_it_is_no_sink() -> None:
    with relay(Asked) as proxy:
        peer = asks(proxy, b"GET /")
        proxy.produce(b"one\n")
        assert not proxy.sinks
        assert peer.received == b""
        peer.send(END)
        proxy.settle()
        assert peer.received == b"welcome\n"


def test_an_accepted_one_without_an_answer_joins_at_once() -> None:
    with relay(Asked) as proxy:
        peer = asks(proxy, b"GET /quiet" + END)
        proxy.produce(b"one\n")
        assert peer.received == b"one\n"


def test_it_gets_the_history_after_its_answer() -> None:
    with relay(Asked, history=History(messages=2)) as proxy:
        proxy.produce(b"one\ntwo\nthree\n")
        assert asks(proxy, b"GET /" + END).received == b"welcome\ntwo\nthree\n"


def test_after_a_resend_it_may_ask_again() -> None:
    with relay(Asked) as proxy:
        peer = asks(proxy, b"GET /again" + END + b"GET /again" + END, b"GET /" + END)
        proxy.produce(b"one\n")
        assert peer.received == b"again\nagain\nwelcome\none\n"
        assert proxy.status.counts["resent"] == 2


def test_what_follows_the_request_is_dropped() -> None:
    with relay(Asked) as proxy:
        peer = asks(proxy, b"GET /" + END + b"GET /again" + END)
        proxy.produce(b"one\n")
        assert peer.received == b"welcome\none\n"


def test_a_rejected_one_gets_its_answer_and_is_closed() -> None:
    with relay(Asked) as proxy:
        peer = asks(proxy, b"GET /other" + END)
        proxy.produce(b"one\n")
        assert peer.received == b"no\n"
        assert peer.ended
        assert proxy.status.counts["rejected"] == 1
        assert proxy.log[0] == (
            "info: proxy.subscribers 10.0.0.1:40001: subscriber rejected by Asked"
        )
        peer.end()
        proxy.settle()


@pytest.mark.parametrize(
    ("request_", "why"),
    [
        (b"GET /fault", "no such thing"),
        (b"GET /nothing", "admit() returned None: not Accept, Reject or Resend"),
        (
            b"GET /text",
            "admit() returned Accept(rewritten=None, wait='text'): its answer must be bytes",
        ),
        (
            b"GET /notext",
            "admit() returned Reject(answer='text', keep=False, why=''): its answer must be bytes",
        ),
    ],
)
def test_a_fault_of_admit_closes_that_subscriber_alone(request_: bytes, why: str) -> None:
    with relay(Asked) as proxy:
        other = asks(proxy, b"GET /" + END)
        peer = proxy.client("subscribers")
        peer.send(request_ + END)
        with pytest.raises((LookupError, TypeError)):  # the simulation raises what is logged
            proxy.settle()
        proxy.settle()
        proxy.produce(b"one\n")
        assert peer.reset_seen
        assert other.received == b"welcome\none\n"
        name = "proxy.subscribers 10.0.0.1:40002"
        assert f"info: {name}: subscriber closed before it joined: {why}" in proxy.log


def test_a_subscriber_that_admit_has_closed_is_no_sink() -> None:
    with relay(Asked) as proxy:
        other, closed = asks(proxy, b"GET /" + END), asks(proxy, b"GET /closed" + END)
        proxy.produce(b"one\n")
        assert closed.ended
        assert other.received == b"welcome\none\n"
        assert proxy.log[1] == (
            "info: proxy.subscribers 10.0.0.1:40002: "
            "subscriber closed before it joined: closed by admit()"
        )


def test_a_request_over_the_limit_is_not_read_further() -> None:
    with relay(Asked) as proxy:
        peer = asks(proxy, b"GET /" + b"x" * 200)
        assert peer.reset_seen
        assert proxy.log == [
            "info: proxy.subscribers 10.0.0.1:40001: "
            "subscriber closed before it joined: message over the size limit"
        ]


def test_a_silent_one_is_closed_after_ten_seconds() -> None:
    with relay(Asked) as proxy:
        peer = asks(proxy, b"GET /again" + END)
        proxy.elapse(9.9)
        assert not peer.reset_seen
        proxy.elapse(0.2)
        assert peer.reset_seen
        assert proxy.log == [
            "info: proxy.subscribers 10.0.0.1:40001: "
            "subscriber closed before it joined: no valid request within 10s"
        ]


def test_one_that_does_not_read_its_answer_is_closed() -> None:
    class Long(Relay):
        def admit(self, subscriber: NetVConnection, request: bytes) -> Accept:
            return Accept(wait=b"x" * 5000)

    with relay(Long) as proxy:
        peer = proxy.client("subscribers")
        peer.stall()
        proxy.elapse(11)
        assert peer.reset_seen
        assert proxy.log == [
            "info: proxy.subscribers 10.0.0.1:40001: "
            "subscriber closed before it joined: the answer was not read within 10s"
        ]


@pytest.mark.parametrize("sent", [b"", b"GET"])
def test_one_that_leaves_before_its_request_is_closed(sent: bytes) -> None:
    with relay(Asked) as proxy:
        peer = asks(proxy, sent)
        peer.end()
        proxy.settle()
        assert peer.ended or peer.reset_seen
        why = "stream ended inside a message"
        assert len(proxy.log) == bool(sent)
        assert all(line.endswith(f"closed before it joined: {why}") for line in proxy.log)


def test_one_that_fails_before_its_request_is_closed() -> None:
    with relay(Asked) as proxy:
        asks(proxy, b"GET").reset()
        proxy.settle()
        assert len(proxy.log) == 1
        assert "subscriber closed before it joined: " in proxy.log[0]


def test_without_a_request_it_is_greeted_at_once() -> None:
    class Greeting(Relay):
        def admit(self, subscriber: NetVConnection, request: bytes) -> Accept:
            assert self.bind_option(subscriber) == "subscribers"
            assert request == b""
            return Accept(wait=b"hello\n")

    with relay(Greeting) as proxy:
        peer = proxy.client("subscribers")
        proxy.settle()
        assert peer.received == b"hello\n"
        proxy.produce(b"one\n")
        assert peer.received == b"hello\none\n"


def test_without_a_request_it_can_be_rejected_without_an_answer() -> None:
    class Closed(Relay):
        def admit(self, subscriber: NetVConnection, request: bytes) -> Reject:
            return Reject()

    with relay(Closed) as proxy:
        peer = proxy.client("subscribers")
        proxy.settle()
        assert peer.ended
        assert not proxy.sinks


def test_at_the_end_of_the_process_one_without_a_request_is_closed() -> None:
    with relay(Asked) as proxy:
        asks(proxy, b"GET")  # relay() checks that no connection is left


def test_when_the_relay_starts_again_one_without_a_request_is_closed() -> None:
    with relay(Asked, ends="last") as proxy:
        first, waiting = asks(proxy, b"GET /" + END), asks(proxy, b"GET")
        first.end()
        proxy.settle()
        assert waiting.ended
        assert "relay ended, and starts again" in proxy.log[-1]


@pytest.mark.parametrize("seed", list(seeds(30)))
def test_on_a_bad_network_the_answer_precedes_every_message(seed: int) -> None:
    with relay(Asked, seed=seed, faults=NetworkFaults.all(), end=False) as proxy:
        peers = [asks(proxy, b"GET /" + END) for _ in range(5)]
        producer = proxy.produce(b"one\n")
        proxy.elapse(1)
        producer.send(b"two\n")
        proxy.elapse(1)
        for peer in peers:
            assert any(
                (b"welcome\n" + rest).startswith(bytes(peer.received))
                for rest in (b"one\ntwo\n", b"two\n")
            )
