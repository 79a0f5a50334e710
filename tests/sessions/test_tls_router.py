"""TlsRouter: the ClientHello chooses the upstream; what is refused, and what is shown of it."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

import pytest

from tests.protocols.client_hellos import (
    extension,
    hello_of,
    message,
    protocols,
    records,
    server_names,
)
from vcproxy.config.values import NamedUpstream
from vcproxy.drivers.sim import Peer, seeds
from vcproxy.plugins.forward import Forward
from vcproxy.protocols.tls_client_hello import LIMIT
from vcproxy.replay.format.peer_history import Handshake
from vcproxy.sessions.tls_router import TlsRouter
from vcproxy.sessions.tls_routes import TlsRoute, TlsRoutingOptions
from vcproxy.testing.machines import check_machine
from vcproxy.testing.proxy import SimulatedProxy

A, B, H2, REST, PLAIN = (NamedUpstream(name) for name in ("a", "b", "h2", "rest", "plain"))

ROUTES = (
    TlsRoute(sni=("a.example",), upstream=A),
    TlsRoute(sni=("*.b.example",), upstream=B),
    TlsRoute(alpn=("h2",), upstream=H2),
)

UNRECOGNIZED_NAME = bytes.fromhex("15 0303 0002 02 70")


def routed(
    *more: TlsRoute, routes: Sequence[TlsRoute] = ROUTES, **keywords: object
) -> SimulatedProxy:
    """Return a proxy with the routes, and a server for each upstream, named after it."""
    keywords.setdefault("upstreams", {name: [f"at-{name}"] for name in (A, B, H2, REST, PLAIN)})
    return SimulatedProxy(
        TlsRouter,
        keywords.pop("servers", ()),  # type: ignore[arg-type]
        options=TlsRoutingOptions((*routes, *more)),
        **keywords,  # type: ignore[arg-type]
    )


def said(proxy: SimulatedProxy) -> list[str]:
    """Return the lines of the log, without the name of the client."""
    return [line.split(": ", 2)[2] for line in proxy.log]


# -- routed --------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "alpn", "server"), [
    ("a.example", ["h2"], "at-a"),
    ("x.b.example", [], "at-b"),
    ("c.example", ["http/1.1", "h2"], "at-h2"),
    (None, ["h2"], "at-h2"),
])  # fmt: skip
def test_the_server_gets_what_the_client_has_sent(
    name: str | None, alpn: list[str], server: str
) -> None:
    hello = hello_of(name, alpn)
    with routed() as proxy:
        client = proxy.client()
        client.send(hello)
        chosen = proxy.server(server)
        proxy.run()
        assert chosen.received == hello
        chosen.send(b"server hello")
        client.send(b"finished")
        proxy.run()
        assert chosen.received == hello + b"finished"
        assert client.received == b"server hello"
        assert proxy.log == []


def test_it_may_come_byte_by_byte() -> None:
    hello = records(message(server_names(b"A.Example."), extension(51, bytes(1300))), [7, 90])
    with routed() as proxy:
        client = proxy.client()
        for byte in hello:
            client.send(bytes([byte]))
            proxy.elapse(0.001)
        chosen = proxy.server("at-a")
        proxy.run()
        assert chosen.received == hello
        assert proxy.engine.memory.used == 0


def test_a_route_without_an_upstream_has_that_of_the_listener() -> None:
    with routed(TlsRoute(), servers=["own"]) as proxy:
        client = proxy.client()
        client.send(hello_of("c.example"))
        own = proxy.server("own")
        proxy.run()
        assert own.received[:1] == b"\x16"


def test_each_direction_ends_for_itself() -> None:
    hello = hello_of("a.example")
    with routed() as proxy:
        client = proxy.client()
        client.send(hello)
        client.end()  # before there is a server
        server = proxy.server("at-a")
        proxy.run()
        assert (bytes(server.received), server.ended) == (hello, True)
        server.send(b"answer")
        server.end()
        proxy.run()
        assert (bytes(client.received), client.ended) == (b"answer", True)
        assert not proxy.engine.vcs


def test_without_half_close_the_first_end_ends_both() -> None:
    with routed(half_close=False) as proxy:
        client = proxy.client()
        client.send(hello_of("a.example"))
        server = proxy.server("at-a")
        server.end()
        proxy.run()
        assert client.ended
        assert server.ended


def test_more_than_the_server_takes_waits_at_the_client() -> None:
    hello = hello_of("a.example")
    with routed() as proxy:
        client = proxy.client()
        client.send(hello + bytes(3_000_000))
        proxy.sim.run(until=lambda: bool(proxy.sessions))
        proxy.sim.network.partition(2.0)
        proxy.elapse(1.0)
        assert proxy.engine.memory.used <= LIMIT + 4096
        server = proxy.server("at-a")
        proxy.run()
        assert server.received == hello + bytes(3_000_000)


def test_other_servers_of_the_upstream_are_tried() -> None:
    with routed(upstreams={A: ["x", "y"]}, refusing=["x"], routes=ROUTES[:1]) as proxy:
        client = proxy.client()
        client.send(hello_of("a.example"))
        server = proxy.server("y")
        proxy.run()
        assert server.received[:1] == b"\x16"
        client.end()
        server.end()
        proxy.run()
        [record] = proxy.access_log
        assert (record["upstream"], record["tried"]) == ("a", ["tcp://x:1"])


def test_if_no_server_is_left_the_client_is_closed() -> None:
    with routed(refusing=["at-a"]) as proxy:
        client = proxy.client()
        client.send(hello_of("a.example"))
        proxy.run()
        assert (bytes(client.received), client.ended, client.reset_seen) == (b"", True, False)
        assert proxy.engine.memory.used == 0


def test_a_listener_that_ends_tls_itself_uses_the_names_of_its_handshake() -> None:
    for result, server in (
        (Handshake(sni="A.example"), "at-a"),
        (Handshake(alpn="h2"), "at-h2"),
    ):
        with routed(handshake=result) as proxy:
            client = proxy.client()
            client.send(b"plaintext")
            chosen = proxy.server(server)
            proxy.run()
            assert chosen.received == b"plaintext"
    with routed(handshake=Handshake(sni="c.example")) as proxy:
        client = proxy.client()
        proxy.run()
        assert client.received == b"", "an alert would be in the stream"
        assert said(proxy) == ['no route for server name "c.example"; connection closed']


# -- refused -------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "alpn", "why"), [
    ("c.example", [], 'no route for server name "c.example"'),
    ("c.example", ["x", "y"], 'no route for server name "c.example" and ALPN x,y'),
    (None, [], "no route for a client without server name"),
])  # fmt: skip
def test_without_a_route_the_client_gets_an_alert(
    name: str | None, alpn: list[str], why: str
) -> None:
    with routed() as proxy:
        client = proxy.client()
        client.send(hello_of(name, alpn))
        proxy.run()
        assert client.received == UNRECOGNIZED_NAME
        assert (client.ended, client.reset_seen) == (True, False)
        assert said(proxy) == [f"{why}; connection closed"]
        [record] = proxy.access_log
        assert (record["end"], record["reason"]) == ("PH", why)
        assert proxy.service.counts["refused"] == 1
        assert not proxy.engine.vcs


@pytest.mark.parametrize(("sent", "received", "why"), [
    (records(message(server_names(b"a", b"b"))), "15 0303 0002 02 2f", "it has two server names"),
    (b"\x80\x2e\x01\0\x02" + bytes(43), "15 0303 0002 02 46", "it has the form of SSL 2.0"),
    (records(b"\x01\x01\0\0" + bytes(70_000)), "15 0303 0002 02 16",
     "it is longer than 65536 bytes"),
])  # fmt: skip
def test_an_invalid_hello_is_refused_and_kept(sent: bytes, received: str, why: str) -> None:
    with routed(TlsRoute(upstream=REST)) as proxy:
        client = proxy.client()
        client.send(sent)
        proxy.run()
        assert client.received == bytes.fromhex(received)
        assert said(proxy) == [f"invalid ClientHello: {why}; connection closed"]
        [refused] = proxy.engine.refused
        assert (refused.kind, refused.reason, refused.piece[:5]) == ("ClientHello", why, sent[:5])
        [record] = proxy.access_log
        assert (record["end"], record["reason"]) == ("CH", f"invalid ClientHello: {why}")
        assert proxy.engine.memory.used == 0


def test_a_client_without_tls_is_closed_or_has_a_route() -> None:
    with routed(TlsRoute(upstream=REST)) as proxy:
        client = proxy.client()
        client.send(b"GET / HTTP/1.1\r\n\r\n")
        proxy.run()
        assert (bytes(client.received), client.ended) == (b"", True)
        assert said(proxy) == ["the client does not begin with TLS; connection closed"]
    with routed(TlsRoute(tls=False, upstream=PLAIN)) as proxy:
        client = proxy.client()
        client.send(b"GET / HTTP/1.1\r\n\r\n")
        server = proxy.server("at-plain")
        proxy.run()
        assert server.received == b"GET / HTTP/1.1\r\n\r\n"
        client.end()
        server.end()
        proxy.run()
        [record] = proxy.access_log
        assert (record["route"], record["sni"], record["end"]) == ("no TLS", None, "--")


def test_a_hello_must_be_complete_in_the_time_of_a_handshake() -> None:
    with routed() as proxy:
        client = proxy.client()
        for byte in hello_of("a.example")[:50]:
            client.send(bytes([byte]))
            proxy.elapse(0.3)
        assert client.ended
        why = "no complete ClientHello came within 10s"
        assert said(proxy) == [f"{why}; connection closed"]
        [record] = proxy.access_log
        assert (record["end"], record["reason"], record["bytes_up"]) == ("cH", why, 34)
        assert not proxy.engine.vcs
        assert proxy.engine.memory.used == 0


def test_the_time_ends_with_the_hello() -> None:
    with routed() as proxy:
        client = proxy.client()
        client.send(hello_of("a.example"))
        proxy.server("at-a")
        proxy.elapse(3600.0)
        assert not client.ended
        assert not client.reset_seen


@pytest.mark.parametrize("limit", ["inactivity_s", "active_s"])
def test_the_timeouts_of_the_client_run_meanwhile(limit: str) -> None:
    with routed(**{limit: 3.0}) as proxy:  # type: ignore[arg-type]
        client = proxy.client()
        proxy.elapse(4.0)
        assert client.ended
        assert said(proxy)[0].startswith("connection timed out before its ClientHello")


@pytest.mark.parametrize("how", ["end", "reset"])
@pytest.mark.parametrize("sent", [0, 30])
def test_a_client_that_leaves_is_logged_if_it_has_sent_anything(how: str, sent: int) -> None:
    with routed() as proxy:
        client = proxy.client()
        client.send(hello_of("a.example")[:sent])
        proxy.elapse(0.1)
        getattr(client, how)()
        proxy.run()
        lines = [f"the client has left after {sent} bytes of its ClientHello"] if sent else []
        assert said(proxy) == lines, "one that has sent nothing was a health check"
        [record] = proxy.access_log
        assert record["end"] == "CH"
        assert not proxy.engine.vcs


def test_a_client_that_resets_while_a_server_is_connected_stops_the_attempts() -> None:
    with routed(connect_s=5.0) as proxy:
        client = proxy.client()
        client.send(hello_of("a.example"))
        proxy.sim.run(until=lambda: bool(proxy.sessions))
        proxy.sim.network.partition(1.0)
        client.reset()
        proxy.run()
        assert not proxy.engine.vcs
        assert proxy.engine.memory.used == 0


def test_many_lines_of_one_kind_are_left_out() -> None:
    with routed() as proxy:
        for _ in range(30):
            proxy.client().send(hello_of("c.example"))
        proxy.elapse(1.0)
        assert len(proxy.log) == 10


# -- what is shown -------------------------------------------------------------------------------


def test_the_record_has_names_and_route() -> None:
    with routed() as proxy:
        client = proxy.client()
        hello = hello_of("X.b.example.", ["h2", "http/1.1"])
        client.send(hello)
        server = proxy.server("at-b")
        proxy.run()
        client.end()
        server.end()
        proxy.run()
        [record] = proxy.access_log
        shown = {key: record[key] for key in ("sni", "alpn", "route", "upstream", "tls", "end")}
        assert shown == {
            "sni": "X.b.example.",
            "alpn": "h2,http/1.1",
            "route": "*.b.example",
            "upstream": "b",
            "tls": None,
            "end": "--",
        }
        assert record["bytes_up"] == len(hello)


def test_a_router_has_the_state_reading_until_it_has_chosen() -> None:
    with routed() as proxy:
        client = proxy.client()
        client.send(b"\x16")
        proxy.elapse(0.1)
        [session] = proxy.sessions
        assert isinstance(session, TlsRouter)
        assert (session.state, session.route_label) == (TlsRouter.READING, "")
        client.send(hello_of("a.example")[1:])
        proxy.server("at-a")
        assert session.route_label == "a.example"


# -- the rest ------------------------------------------------------------------------------------


def test_forward_is_served_by_it_only_where_it_has_options() -> None:
    assert Forward.with_options() is TlsRouter
    assert not hasattr(Forward, "Options")


@pytest.mark.parametrize("seed", list(seeds(50)))
def test_cut_anywhere_the_same_server_gets_the_same_bytes(seed: int) -> None:
    random = Random(seed)
    name = random.choice([b"a.example", b"x.b.example", b"c.example"])
    more = extension(51, bytes(random.choice([0, 40, 1216, 20_000])))
    sizes = [random.randrange(1, 600) for _ in range(random.randrange(5))]
    hello = records(message(more, server_names(name), protocols(b"h2")), sizes)
    data = hello + random.randbytes(random.choice([0, 10, 100_000]))
    server_of = {b"a.example": "at-a", b"x.b.example": "at-b", b"c.example": "at-h2"}

    def echo(peer: Peer) -> None:
        peer.on_data = peer.send
        peer.on_end = peer.close

    names = list(server_of.values())
    with routed(on_connect=dict.fromkeys(names, echo), seed=seed) as proxy:
        client, at = proxy.client(), 0
        while at < len(data):
            size = random.choice([1, 5, 200, 3000, 50_000])
            client.send(data[at : at + size])
            at += size
            if random.random() < 0.5:
                proxy.elapse(random.choice([0.0, 0.01]))
        client.end()
        proxy.run()
        assert [each for each in names if proxy.connections(each)] == [server_of[name]], seed
        assert client.received == data, seed
        assert not proxy.engine.vcs
        assert proxy.engine.memory.used == 0
        assert proxy.access_log[0]["bytes_up"] == len(data)


def test_every_state_handles_the_events_that_can_reach_it() -> None:
    assert check_machine(TlsRouter) == {
        # There is neither a server nor a tunnel yet.
        "READING CONNECTED", "READING TunnelDone", "CONNECTING TunnelDone",
        # The route has been chosen.
        "CONNECTING KNOWN", "CONNECTING LATE", "RELAYING KNOWN", "RELAYING LATE",
        # The tunnel has the VCs: it gets their events.
        "RELAYING ERROR", "RELAYING CONNECTED", "RELAYING EOS", "RELAYING READ_READY",
        "RELAYING INACTIVITY_TIMEOUT", "RELAYING ACTIVE_TIMEOUT",
    }  # fmt: skip
