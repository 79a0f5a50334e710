"""The records of sessions: how each way to end is shown, and what was measured."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from tests.proxy_protocol.headers import V4
from vcproxy.access_log.ending import By, Phase
from vcproxy.config.options import read_options
from vcproxy.engine.failures import Killed
from vcproxy.framing.framing import lines
from vcproxy.machine.state import State
from vcproxy.messages.validator import Validator
from vcproxy.messages.verdict import Accept, Reject, Resend, Verdict
from vcproxy.plugins.echo import Echo
from vcproxy.plugins.forward import Forward
from vcproxy.plugins.mirror import Mirror
from vcproxy.plugins.split import Split
from vcproxy.proxy_protocol.encoder import encode_v2
from vcproxy.relay.relay import Relay
from vcproxy.sessions.message_reader import Message
from vcproxy.sessions.session import Session
from vcproxy.testing.proxy import SimulatedProxy
from vcproxy.tunnels.done import TunnelDone
from vcproxy.upstream.settings import QueueSettings, UpstreamSettings


class Greeted(Session):
    """Takes one line of the client, and forwards what follows."""

    needs_upstream = True
    READING, RELAYING, CLOSED = State(initial=True), State(), State(final=True)
    RELAYING.goes(TunnelDone, CLOSED)

    @READING.on(Message, to=RELAYING)
    def greeted(self, _: Message) -> None:
        self.lend()


def test_what_was_read_before_a_tunnel_counts_once() -> None:
    with SimulatedProxy(Greeted) as proxy:
        client = proxy.client()
        client.send(b"hello\nand more")
        server = proxy.server()
        client.end()
        server.end()
        proxy.run()
        assert server.received == b"and more"
        [record] = proxy.access_log
        assert record["bytes_up"] == len(b"hello\nand more")


def test_an_orderly_session() -> None:
    with SimulatedProxy(Forward) as proxy:
        client, server = proxy.client(), proxy.server()
        client.send(b"ping")
        proxy.elapse(1.0)
        server.send(b"pong!")
        proxy.elapse(1.0)
        client.end()
        server.end()
        proxy.run()
        (record,) = proxy.access_log
    assert record["kind"] == "tcp"
    assert record["listener"] == "proxy"
    assert record["upstream"] == "upstream"
    assert record["server"] == "tcp://server:1"
    assert (record["bytes_up"], record["bytes_down"]) == (4, 5)
    assert (record["time_first_byte"], record["time_total"]) == (1000.0, 2000.0)
    assert (record["end"], record["reason"]) == ("--", None)


def test_the_client_resets() -> None:
    with SimulatedProxy(Forward) as proxy:
        client = proxy.client()
        proxy.server()
        client.reset()
        proxy.run()
        (record,) = proxy.access_log
    assert record["end"] == "CD"


def test_the_server_resets() -> None:
    with SimulatedProxy(Forward) as proxy:
        proxy.client()
        proxy.server().reset()
        proxy.run()
        (record,) = proxy.access_log
    assert record["end"] == "SD"


def test_no_server_can_be_reached() -> None:
    with SimulatedProxy(Forward, servers=("a", "b"), refusing=("a", "b")) as proxy:
        proxy.client()
        proxy.run()
        (record,) = proxy.access_log
    assert record["end"] == "SC"
    assert record["tried"] == ["tcp://a:1"]
    assert record["server"] == "tcp://b:1"


def test_nothing_moves() -> None:
    with SimulatedProxy(Forward, inactivity_s=5.0) as proxy:
        proxy.client()
        proxy.run()
        (record,) = proxy.access_log
    assert (record["end"], record["time_total"]) == ("cD", 5000.0)


def test_a_session_without_a_server() -> None:
    with SimulatedProxy(Echo, servers=()) as proxy:
        client = proxy.client()
        client.send(b"hello")
        client.end()
        proxy.run()
        (record,) = proxy.access_log
    assert (record["end"], record["bytes_up"], record["bytes_down"]) == ("--", 5, 5)
    assert record["server"] is None


def test_a_client_that_leaves_after_the_server_has_ended() -> None:
    with SimulatedProxy(Forward) as proxy:
        client, server = proxy.client(), proxy.server()
        server.send(b"x" * 1000)
        server.end()
        proxy.run()
        client.reset()
        proxy.run()
        (record,) = proxy.access_log
    assert record["end"] == "CL"
    assert record["bytes_down"] == 1000


def test_the_client_leaves_while_its_server_is_connected_to() -> None:
    with SimulatedProxy(Forward, servers=("far",), faults=None) as proxy:
        client = proxy.client()
        client.reset()
        proxy.run()
        (record,) = proxy.access_log
    assert record["end"] in ("CC", "CD")


def test_the_queue() -> None:
    queue = QueueSettings(size=1, timeout=2.0)
    settings = UpstreamSettings(max_connections=1, queue=queue)
    with SimulatedProxy(Forward, upstream_settings=settings) as proxy:
        first = proxy.client()
        proxy.server()
        proxy.client()
        proxy.elapse(0.1)
        proxy.client()
        proxy.elapse(3.0)
        first.end()
        late, full = sorted(proxy.access_log, key=lambda each: str(each["end"]), reverse=True)
    assert (late["end"], late["time_queue"], late["server"]) == ("sQ", 2000.0, None)
    assert (full["end"], full["server"]) == ("RQ", None)


def test_a_session_of_datagrams_ends_in_order_when_it_is_silent() -> None:
    with SimulatedProxy(Forward, datagrams=True, inactivity_s=5.0) as proxy:
        client = proxy.datagram_client()
        client.send(b"ping")
        proxy.run()
        (record,) = proxy.access_log
    assert (record["kind"], record["end"], record["bytes_up"]) == ("udp", "--", 4)
    assert record["server"] == "udp://server:1"


def test_more_than_max_per_client() -> None:
    with SimulatedProxy(Echo, servers=()) as proxy:
        (listener,) = proxy.driver._listening
        listener.max_per_client = 1
        proxy.client(client_ip="10.9.9.9")
        proxy.client(client_ip="10.9.9.9")
        proxy.elapse(1.0)
        (record,) = proxy.access_log
    assert record["end"] == "PH"
    assert record["reason"] == "the client has 1 connections already"


class Checked(Validator):
    framing = lines(limit=100)

    def check(self, message: bytes) -> Verdict:
        if message == b"bad":
            return Reject(b"no\n")
        return Resend(b"again\n") if message == b"odd" else Accept()


def test_the_verdicts_of_a_validator_and_its_rejection() -> None:
    with SimulatedProxy(Checked) as proxy:
        client = proxy.client()
        client.send(b"good\nodd\nbad\n")
        proxy.server().end()
        client.end()
        proxy.run()
        (record,) = proxy.access_log
    assert record["verdicts"] == {"accept": 1, "resend": 1, "reject": 1}
    assert (record["end"], record["reason"]) == ("VV", "a message was rejected")


def test_a_client_that_leaves_before_its_first_valid_message() -> None:
    with SimulatedProxy(Checked) as proxy:
        client = proxy.client()
        client.send(b"odd\n")
        proxy.run()
        client.reset()
        proxy.run()
        (record,) = proxy.access_log
    assert record["end"] == "CV"
    assert record["server"] is None


def test_a_message_that_is_too_long() -> None:
    with SimulatedProxy(Checked) as proxy:
        proxy.client().send(b"x" * 200)
        proxy.run()
        (record,) = proxy.access_log
    assert record["end"] == "VV"


class Broken(Forward):
    def refusal(self) -> bytes | None:
        raise ValueError("a mistake")


def test_an_error_of_the_plugin() -> None:
    with SimulatedProxy(Broken) as proxy:
        proxy.client()
        with pytest.raises(ValueError, match="a mistake"):
            proxy.run()
        (record,) = proxy.access_log
    assert (record["end"], record["reason"]) == ("ID", "a mistake")


class Private(Forward):
    def refusal(self) -> bytes | None:
        self.access_fields["country"] = "none"
        return b"go away\n"


def test_a_refusal_and_a_field_of_the_plugin() -> None:
    with SimulatedProxy(Private) as proxy:
        client = proxy.client()
        proxy.run()
        client.end()
        proxy.run()
        (record,) = proxy.access_log
    assert (record["end"], record["bytes_down"]) == ("PD", 8)
    assert record["extra"] == {"country": "none"}


def made(plugin: type, **table: Any) -> object:
    return read_options(plugin, table, Path())[0]


def test_a_copy_has_a_record_of_its_own_that_names_the_client_s() -> None:
    options = made(Mirror, mirrors=["tcp://m1:1", "tcp://m2:1"])
    with SimulatedProxy(Mirror, options=options, refusing=("tcp://m2:1",)) as proxy:
        client, primary, mirror = proxy.client(), proxy.server(), proxy.server("tcp://m1:1")
        client.send(b"ping")
        proxy.run()
        mirror.send(b"pong")
        primary.send(b"pong")
        for peer in (client, primary, mirror):
            peer.end()
        proxy.run()
        records = {each["server"]: each for each in proxy.access_log}
    own = records["tcp://server:1"]
    assert (own["parent"], own["end"]) == (None, "--")
    copy, failed = records["tcp://m1:1"], records["tcp://m2:1"]
    assert (copy["parent"], copy["client"]) == (own["id"], None)
    assert (copy["bytes_up"], copy["bytes_down"], copy["end"]) == (4, 4, "--")
    assert (failed["parent"], failed["end"]) == (own["id"], "MC")
    assert len({each["id"] for each in records.values()}) == 3


def test_the_sinks_of_a_relay() -> None:
    options = made(
        Relay,
        subscribers=["tcp://127.0.0.1:0"],
        targets=[{"to": "tcp://sink:1", "max_lag": "2MiB"}],
        framing="lines",
        max_lag="64KiB",
        on_lag="drop_oldest",
    )
    with SimulatedProxy(Relay, options=options) as proxy:
        producer, subscriber = proxy.client(), proxy.client("subscribers")
        target = proxy.server("tcp://sink:1")
        subscriber.stall()
        producer.send((b"x" * 999 + b"\n") * 1000)
        proxy.elapse(1.0)
        subscriber.reset()
        producer.end()
        proxy.elapse(1.0)
        target.reset()
        proxy.elapse(1.0)
        subscribed, produced, sunk = proxy.access_log
    assert (subscribed["end"], subscribed["listener"]) == ("CD", "proxy.subscribers")
    assert int(str(subscribed["dropped"])) > 100
    assert (produced["end"], produced["bytes_up"]) == ("--", 1_000_000)
    assert (sunk["end"], sunk["server"]) == ("SD", "tcp://sink:1")
    assert sunk["bytes_up"] == len(target.received)


def test_the_clients_of_a_splitter() -> None:
    with SimulatedProxy(Split, options=made(Split, key="id")) as proxy:
        client = proxy.client()
        client.send(b'{"id": 1}\n')
        proxy.server().send(b'{"id": 1}\n')
        proxy.run()
        client.end()
        proxy.run()
        records = proxy.access_log
    assert [(each["upstream"], each["end"]) for each in records] == [("upstream", "--")]


def test_the_requests_of_a_splitter_that_are_not_answered() -> None:
    options = made(Split, key="id", timeout="1s", unanswered="sorry", answer="no id", keep=True)
    with SimulatedProxy(Split, options=options) as proxy:
        client = proxy.client()
        client.send(b'{"id": 1}\n{"id": 2}\n{}\n{"id": 3}\n')
        server = proxy.server()
        proxy.elapse(0.5)
        server.send(b'{"id": 2}\n')
        proxy.elapse(1.0)
        server.close()
        client.end()
        proxy.run()
        (record,) = proxy.access_log
    assert record["verdicts"] == {"reject": 1, "no_answer": 1, "connection_lost": 1}


@pytest.mark.parametrize("side", ["client", "server"])
def test_an_operator_ends_a_connection(side: str) -> None:
    with SimulatedProxy(Forward) as proxy:
        proxy.client()
        proxy.server()
        proxy.run()
        client, server = proxy.engine.vcs
        (client if side == "client" else server).fail(Killed("ended by an operator"))
        proxy.run()
        (record,) = proxy.access_log
    assert (record["end"], record["reason"]) == ("KD", "ended by an operator")


def test_memory_is_used_up() -> None:
    with SimulatedProxy(Forward) as proxy:
        proxy.client()
        proxy.server()
        proxy.run()
        client, _ = proxy.engine.vcs
        client.fail(MemoryError("the memory budget is used up"))
        proxy.run()
        (record,) = proxy.access_log
    assert record["end"] == "RD"


@dataclass
class Handshake:
    """See HandshakeResult."""

    sni: str | None = None
    alpn: str | None = None
    peer: str | None = None


def test_a_client_with_tls() -> None:
    result = Handshake("db.example", "sql", "CN=ann")
    with SimulatedProxy(Echo, servers=(), handshake=result) as proxy:
        proxy.client().end()
        proxy.run()
        (record,) = proxy.access_log
    assert (record["sni"], record["alpn"], record["certificate"]) == ("db.example", "sql", "CN=ann")
    assert record["time_handshake"] == 0.0
    assert record["tls"] is None  # it was only simulated


def test_a_connection_that_is_closed_before_its_session() -> None:
    with SimulatedProxy(Echo, servers=(), handshake=Handshake()) as proxy:
        (listener,) = proxy.driver._listening
        listener.max_per_client = 1
        for _ in range(2):
            proxy.client(client_ip="10.9.9.9")
        proxy.elapse(1.0)
        (record,) = proxy.access_log
    assert record["end"] == "PH"
    assert record["time_handshake"] is None


def test_a_sample_has_every_failure() -> None:
    with SimulatedProxy(Forward) as proxy:
        log = proxy.service.access_log
        assert log is not None
        log.settings = replace(log.settings, sample=0.0)
        for ending in ("end", "reset", "end"):
            client, server = proxy.client(), proxy.server()
            getattr(client, ending)()
            server.end()
            proxy.run()
        (record,) = proxy.access_log
    assert record["end"] == "CD"


def test_a_template() -> None:
    with SimulatedProxy(Private) as proxy:
        log = proxy.service.access_log
        assert log is not None
        log.settings = replace(log.settings, form="{listener} {kind} {sni} {end} {extra.country}")
        client = proxy.client()
        proxy.run()
        client.end()
        proxy.run()
        assert proxy._records == [b"proxy tcp - PD none\n"]


def test_every_letter_has_a_line() -> None:
    assert len({each.value for each in By}) == len(By)
    assert len({each.value for each in Phase}) == len(Phase)


def test_the_client_of_a_balancer() -> None:
    with SimulatedProxy(Forward, proxy_protocol=True) as proxy:
        client = proxy.client(client_ip="10.0.0.5")
        client.send(encode_v2(V4))
        server = proxy.server()
        client.end()
        server.end()
        proxy.run()
        (record,) = proxy.access_log
    assert (record["client"], record["proxied_by"]) == ("203.0.113.7:40000", "10.0.0.5")
    assert record["end"] == "--"


@pytest.mark.parametrize(
    ("sender", "sent", "end", "reason"),
    [
        ("10.0.0.5", b"GET", "CH", "its PROXY header is not valid at byte 0: it does not begin"),
        ("10.0.0.5", b"PROXY", "cH", "no complete PROXY header came within 10s"),
        ("2001:db8::5", b"", "PH", "its address is not in `from` of proxy_protocol"),
    ],
)
def test_a_refused_proxy_header(sender: str, sent: bytes, end: str, reason: str) -> None:
    with SimulatedProxy(Forward, proxy_protocol=True) as proxy:
        client = proxy.client(client_ip=f"[{sender}]" if ":" in sender else sender)
        client.send(sent)
        proxy.elapse(11)
        (record,) = proxy.access_log
    assert str(record["client"]).strip("[").startswith(sender)
    assert record["proxied_by"] is None
    assert record["end"] == end
    assert str(record["reason"]).startswith(reason)
