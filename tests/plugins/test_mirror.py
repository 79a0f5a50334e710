"""The bundled mirror: what client, primary and mirrors receive, with and without errors."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from vcproxy.config.errors import OptionsError
from vcproxy.config.options import read_options
from vcproxy.drivers.sim import NetworkFaults, Peer
from vcproxy.plugins.mirror import Mirror
from vcproxy.testing.proxy import SimulatedProxy

M1, M2 = "tcp://m1:1", "tcp://m2:1"

LINE = b"x" * 999 + b"\n"


def mirroring(
    *mirrors: str,
    refusing: Sequence[str] = (),
    faults: NetworkFaults | None = None,
    half_close: bool = True,
    **table: Any,
) -> SimulatedProxy:
    """Return a proxy with a primary and mirrors."""
    options, _ = read_options(Mirror, {"mirrors": list(mirrors or (M1,)), **table}, Path())
    return SimulatedProxy(
        Mirror, options=options, refusing=refusing, faults=faults, half_close=half_close
    )


def connect(proxy: SimulatedProxy, *mirrors: str) -> tuple[Peer, ...]:
    """Return a client, the primary, and mirrors."""
    return proxy.client(), proxy.server(), *(proxy.server(name) for name in mirrors or (M1,))


def end(*peers: Peer) -> None:
    for peer in peers:
        peer.end()


def clean(proxy: SimulatedProxy) -> bool:
    """Whether all connections are closed and all memory is free."""
    proxy.sessions.clear()
    return not proxy.engine.vcs and proxy.engine.memory.used == 0


# -- without errors --------------------------------------------------------------------------


def test_mirrors_get_all_requests_and_the_client_gets_the_primarys_replies() -> None:
    with mirroring(M1, M2) as proxy:
        client, primary, *mirrors = connect(proxy, M1, M2)
        client.send(b"ping")
        proxy.run()
        for mirror in mirrors:
            mirror.send(b"pong")
        primary.send(b"pong")
        end(client, primary, *mirrors)
        proxy.run()
        assert [primary.received, *(mirror.received for mirror in mirrors)] == [b"ping"] * 3
        assert client.received == b"pong"
        assert client.ended
        assert proxy.log == [
            f"info: proxy 10.0.0.1:40001 mirror {name}: mirrored to the end; 4B sent"
            for name in (M1, M2)
        ]
        counts = proxy.service.counts
        assert counts["mirrored"] == 1
        assert counts["followed"] == 2
        assert counts["followed tcp://m1:1"] == 1
        assert not counts["differences"]
        assert not counts["not_compared"]
        assert clean(proxy)


def test_requests_before_a_mirror_is_connected_are_kept_for_it() -> None:
    with mirroring(faults=NetworkFaults(resolve_s=(1.0, 1.0))) as proxy:
        client, primary = proxy.client(), proxy.server()
        client.send(b"early")
        proxy.elapse(0.5)
        assert primary.received == b"early"
        assert proxy.connections(M1) == 0
        mirror = proxy.server(M1)
        proxy.run()
        assert mirror.received == b"early"


def test_a_conversation_may_end_before_a_mirror_is_connected() -> None:
    with mirroring(faults=NetworkFaults(resolve_s=(1.0, 1.0))) as proxy:
        client, primary = proxy.client(), proxy.server()
        client.send(b"short")
        end(client, primary)
        proxy.elapse(0.5)
        assert client.ended
        mirror = proxy.server(M1)
        mirror.end()
        proxy.run()
        assert mirror.received == b"short"
        assert mirror.ended
        assert clean(proxy)


def test_half_close() -> None:
    with mirroring() as proxy:
        client, primary, mirror = connect(proxy)
        client.end()
        proxy.run()
        assert primary.ended
        assert mirror.ended
        primary.send(b"more")
        proxy.run()
        assert client.received == b"more"
        primary.end()
        proxy.run()
        assert client.ended


@pytest.mark.parametrize("first", ["client", "primary"])
def test_without_half_close_the_first_end_ends_all(first: str) -> None:
    with mirroring(half_close=False) as proxy:
        client, primary, mirror = connect(proxy)
        client.send(b"bye")
        proxy.run()
        end(client if first == "client" else primary)
        proxy.run()
        assert client.ended or client is not primary
        assert mirror.received == b"bye"
        assert mirror.ended
        assert clean(proxy)


def test_a_share_of_the_connections() -> None:
    with mirroring(sample=0.3) as proxy:
        for _ in range(100):
            proxy.client()
        proxy.run()
        assert 15 < proxy.service.counts["mirrored"] == proxy.connections(M1) < 45
        assert proxy.connections() == 100


def test_a_mirror_at_tls() -> None:
    with mirroring("tls://m1:2") as proxy:
        client, _, mirror = connect(proxy, "tls://m1:2")
        client.send(b"ping")
        proxy.run()
        assert mirror.received == b"ping"


# -- with errors -----------------------------------------------------------------------------


def test_a_mirror_that_refuses() -> None:
    with mirroring(refusing=[M1]) as proxy:
        client, primary = proxy.client(), proxy.server()
        client.send(b"ping")
        primary.send(b"pong")
        proxy.run()
        assert primary.received == b"ping"
        assert client.received == b"pong"
        assert proxy.log == [
            "info: proxy 10.0.0.1:40001 mirror tcp://m1:1: a connection failed: "
            "tcp://m1:1: connection refused; 0B sent"
        ]
        assert proxy.service.counts["lost tcp://m1:1"] == 1


def test_a_mirror_that_stalls_is_disconnected() -> None:
    with mirroring() as proxy:
        client, primary, mirror = connect(proxy)
        mirror.stall()
        client.send(LINE * 10_000)
        proxy.run()
        assert len(primary.received) == 10_000_000
        assert proxy.engine.memory.used <= 2 << 20
        assert "lagged too far behind" in proxy.log[0]
        mirror.resume()
        proxy.run()
        assert mirror.reset_seen


@pytest.mark.parametrize("policy", ["drop_oldest", "drop_newest"])
def test_a_mirror_that_stalls_misses_whole_messages(policy: str) -> None:
    with mirroring(framing="lines", on_lag=policy, max_lag="64KiB") as proxy:
        client, primary, mirror = connect(proxy)
        mirror.stall()
        sent = b"".join(b"%d %b" % (n, LINE) for n in range(5000))
        client.send(sent)
        client.end()
        proxy.run()
        assert primary.received == sent
        assert primary.ended
        mirror.resume()
        proxy.run()
        got = mirror.received.splitlines(keepends=True)
        every = iter(sent.splitlines(keepends=True))
        assert all(bytes(line) in every for line in got)
        dropped = proxy.service.counts
        end(primary, mirror)
        proxy.run()
        assert dropped["dropped"] == 5000 - len(got) > 3000
        assert "mirror tcp://m1:1: lags " in proxy.log[0]
        assert f"; policy {policy}" in proxy.log[0]
        assert f"{5000 - len(got)} messages dropped" in proxy.log[-1]
        assert clean(proxy)


def test_input_with_invalid_framing_goes_to_the_primary_only() -> None:
    with mirroring(framing="lines", limit="10B", on_lag="drop_oldest") as proxy:
        client, primary, mirror = connect(proxy)
        client.send(b"short\n")
        proxy.run()
        client.send(b"a line that is too long\n")
        client.send(b"and more\n")
        proxy.run()
        client.send(b"and half")
        client.end()
        proxy.run()
        assert primary.received == b"short\na line that is too long\nand more\nand half"
        assert primary.ended
        assert mirror.received == b"short\n"
        assert mirror.reset_seen
        assert "client input: message over the size limit" in proxy.log[0]


def test_a_mirror_that_resets() -> None:
    with mirroring() as proxy:
        client, primary, mirror = connect(proxy)
        mirror.reset()
        client.send(b"ping")
        primary.send(b"pong")
        proxy.run()
        assert primary.received == b"ping"
        assert client.received == b"pong"
        assert not client.ended
        assert "a connection failed" in proxy.log[0]


def test_a_mirror_that_has_ended_its_replies_still_gets_requests() -> None:
    with mirroring() as proxy:
        client, _, mirror = connect(proxy)
        mirror.end()
        proxy.run()
        client.send(b"ping")
        proxy.run()
        assert mirror.received == b"ping"


def test_a_mirror_that_does_not_end_is_closed_after_two_seconds() -> None:
    with mirroring() as proxy:
        client, primary, mirror = connect(proxy)
        mirror.stall()
        client.send(bytes(400_000))
        end(client, primary)
        proxy.elapse(1.9)
        assert client.ended
        assert len(proxy.engine.vcs) == 1
        proxy.elapse(0.2)
        assert "timed out before it received everything" in proxy.log[0]
        assert clean(proxy)


def test_without_a_primary_no_mirror_is_connected() -> None:
    with mirroring(refusing=["server"]) as proxy:
        client = proxy.client()
        client.send(b"ping")
        proxy.run()
        assert client.ended
        assert proxy.connections(M1) == 0


@pytest.mark.parametrize("framing", ["none", "lines"])
@pytest.mark.parametrize("failing", ["client", "primary"])
def test_a_reset_of_client_or_primary_resets_all(failing: str, framing: str) -> None:
    policy = "drop_oldest" if framing == "lines" else "disconnect"
    with mirroring(framing=framing, on_lag=policy) as proxy:
        client, primary, mirror = connect(proxy)
        client.send(b"ping\n")
        proxy.run()
        (client if failing == "client" else primary).reset()
        proxy.run()
        assert (primary if failing == "client" else client).reset_seen
        assert mirror.reset_seen
        why = "mirror tcp://m1:1: conversation ended abnormally: a connection failed; 5B sent"
        assert any(line.endswith(why) for line in proxy.log)
        assert clean(proxy)


# -- differences -----------------------------------------------------------------------------


def test_a_different_byte() -> None:
    with mirroring(M1, M2) as proxy:
        _, primary, same, other = connect(proxy, M1, M2)
        primary.send(b"one two")
        proxy.run()
        same.send(b"one")
        other.send(b"one xxx")
        proxy.run()
        same.send(b" two")
        proxy.run()
        [line] = proxy.log
        assert line.endswith("mirror tcp://m2:1: response differs from the primary at byte 4")
        counts = proxy.service.counts
        assert counts["differences"] == counts["differences tcp://m2:1"] == 1


def test_each_different_message_is_counted() -> None:
    with mirroring(framing="lines") as proxy:
        client, primary, mirror = connect(proxy)
        primary.send(b"a\nb\nc\n")
        mirror.send(b"a\nB\nC\n")
        proxy.run()
        assert proxy.service.counts["differences"] == 2
        assert "at message 2" in proxy.log[0]
        end(client, primary, mirror)
        proxy.run()
        assert proxy.log[1].endswith("mirrored to the end; 0B sent; differences: 2")


def test_a_mirror_that_replies_less_differs() -> None:
    with mirroring() as proxy:
        _, primary, mirror = connect(proxy)
        primary.send(b"pong")
        mirror.send(b"po")
        mirror.end()
        proxy.run()
        assert "at byte 2" in proxy.log[0]


@pytest.mark.parametrize("ahead", ["primary", "mirror"])
def test_a_reply_too_far_ahead_is_not_compared(ahead: str) -> None:
    with mirroring(max_lag="64KiB") as proxy:
        client, primary, mirror = connect(proxy)
        (primary if ahead == "primary" else mirror).send(bytes(1_000_000))
        proxy.run()
        assert proxy.engine.memory.used <= 2 << 20
        assert len(client.received) == (1_000_000 if ahead == "primary" else 0)
        end(client, primary, mirror)
        proxy.run()
        assert proxy.service.counts["not_compared tcp://m1:1"] == 1
        assert not proxy.service.counts["differences"]


@pytest.mark.parametrize("invalid", ["primary", "mirror"])
def test_replies_with_invalid_framing_are_not_compared(invalid: str) -> None:
    with mirroring(framing="lines", limit="10B") as proxy:
        client, primary, mirror = connect(proxy)
        primary.send(bytes(100) if invalid == "primary" else b"well\n")
        mirror.send(bytes(100) if invalid == "mirror" else b"well\n")
        client.send(b"ping")
        end(client, primary, mirror)
        proxy.run()
        assert client.received == (bytes(100) if invalid == "primary" else b"well\n")
        assert mirror.received == b"ping"
        assert proxy.service.counts["not_compared"] == 1


def test_without_comparison_replies_are_moved_in_bulk() -> None:
    with mirroring(compare=False) as proxy:
        client, primary, mirror = connect(proxy)
        mirror.send(b"whatever")
        primary.send(bytes(5_000_000))
        proxy.run()
        assert client.received == bytes(5_000_000)
        assert not proxy.log


# -- which replies ---------------------------------------------------------------------------


def test_first_without_a_framing_is_the_server_that_replies_first() -> None:
    with mirroring(reply="first") as proxy:
        client, primary, mirror = connect(proxy)
        mirror.send(b"quick ")
        proxy.run()
        primary.send(b"slow")
        mirror.send(b"quicker")
        proxy.run()
        assert client.received == b"quick quicker"
        client.end()
        primary.end()
        proxy.run()
        assert not client.ended
        mirror.end()
        proxy.run()
        assert client.ended
        assert "at byte 0" in proxy.log[0]
        assert clean(proxy)


def test_first_resets_the_client_if_the_chosen_server_fails() -> None:
    with mirroring(reply="first") as proxy:
        client, _, mirror = connect(proxy)
        mirror.send(b"part of a reply")
        proxy.run()
        mirror.reset()
        proxy.run()
        assert client.received == b"part of a reply"
        assert client.reset_seen
        assert any("the server that responds to the client failed" in line for line in proxy.log)


def test_first_is_the_primary_if_mirrors_send_nothing() -> None:
    with mirroring(reply="first", refusing=[M1]) as proxy:
        client, primary = proxy.client(), proxy.server()
        primary.send(b"pong")
        end(primary, client)
        proxy.run()
        assert client.received == b"pong"
        assert client.ended


def test_first_with_a_framing_is_chosen_for_each_reply() -> None:
    with mirroring(reply="first", framing="lines") as proxy:
        client, primary, mirror = connect(proxy)
        mirror.send(b"m1\n")
        proxy.run()
        primary.send(b"p1\np2\n")
        proxy.run()
        mirror.send(b"m2\nm3\n")
        proxy.run()
        assert client.received == b"m1\np2\nm3\n"
        end(client, primary)
        proxy.run()
        assert client.ended


def test_all_in_the_order_of_the_servers() -> None:
    with mirroring(M1, M2, reply="all", framing="lines") as proxy:
        client, primary, one, two = connect(proxy, M1, M2)
        two.send(b"c1\nc2\n")
        one.send(b"b1\n")
        proxy.elapse(0.1)
        assert client.received == b""
        primary.send(b"a1\na2\n")
        proxy.elapse(0.1)
        assert client.received == b"a1\nb1\nc1\n"
        one.reset()  # from now on it gets no copies
        proxy.elapse(0.1)
        assert client.received == b"a1\nb1\nc1\na2\nc2\n"


def test_all_leaves_out_late_servers() -> None:
    with mirroring(reply="all", framing="lines", timeout="3s") as proxy:
        client, primary, mirror = connect(proxy)
        primary.send(b"p1\n")
        proxy.elapse(2.9)
        assert client.received == b""
        proxy.elapse(0.2)
        assert client.received == b"p1\n"
        mirror.send(b"m1\nm2\n")
        primary.send(b"p2\n")
        proxy.elapse(0.1)
        assert client.received == b"p1\np2\nm2\n"


def test_all_is_complete_when_the_primary_ends() -> None:
    with mirroring(reply="all", framing="lines", timeout="3s") as proxy:
        client, primary, mirror = connect(proxy)
        primary.send(b"p1\n")
        end(client, primary)
        proxy.elapse(0.1)
        assert not client.ended
        mirror.send(b"m1\nm2\n")
        proxy.elapse(0.1)
        assert client.received == b"p1\nm1\n"
        assert client.ended
        mirror.end()
        proxy.run()
        assert clean(proxy)


def test_servers_are_not_read_while_the_client_does_not_read() -> None:
    with mirroring(reply="all", framing="lines", max_lag="64KiB", timeout="1h") as proxy:
        client, primary, mirror = connect(proxy)
        client.stall()
        primary.send(LINE * 3000)
        mirror.send(LINE * 3000)
        proxy.elapse(1.0)
        assert proxy.engine.memory.used <= 1 << 20
        client.resume()
        proxy.elapse(1.0)
        assert client.received == LINE * 6000


def test_a_server_ahead_of_the_others_is_not_read() -> None:
    with mirroring(reply="all", framing="lines", max_lag="64KiB", timeout="0s") as proxy:
        client, primary, mirror = connect(proxy)
        primary.send(LINE * 3000)
        proxy.elapse(1.0)
        assert primary.sent < 1_000_000
        mirror.send(LINE * 3000)
        proxy.elapse(1.0)
        assert client.received == LINE * 6000


def test_quorum() -> None:
    with mirroring(M1, M2, reply="quorum", framing="lines") as proxy:
        client, primary, one, two = connect(proxy, M1, M2)
        primary.send(b"wrong\n")
        one.send(b"right\n")
        proxy.elapse(0.1)
        assert client.received == b""
        two.send(b"right\n")
        proxy.elapse(0.1)
        assert client.received == b"right\n"


@pytest.mark.parametrize("unresolved", ["", "no quorum"])
def test_without_a_quorum(unresolved: str) -> None:
    with mirroring(reply="quorum", framing="lines", unresolved=unresolved) as proxy:
        client, primary, mirror = connect(proxy)
        primary.send(b"a\nc\n")
        mirror.send(b"b\nc\n")
        proxy.run()
        assert proxy.service.counts["unresolved"] == (0 if unresolved else 1)
        if unresolved:
            assert client.received == b"no quorum\nc\n"
            end(client, primary)
            proxy.run()
            assert proxy.service.counts["unresolved"] == 1
        else:
            assert client.received == b""
            assert client.reset_seen
            assert "no quorum: too few servers gave the same response" in proxy.log[-2]


def test_a_quorum_counts_servers_that_have_ended_too() -> None:
    with mirroring(M1, M2, reply="quorum", framing="lines", refusing=[M1]) as proxy:
        client, primary, two = connect(proxy, M2)
        primary.send(b"a\nb\n")
        two.send(b"a\n")
        proxy.elapse(0.1)
        assert client.received == b"a\n"
        proxy.elapse(6.0)
        assert client.reset_seen


@pytest.mark.parametrize("reply", ["first", "all", "quorum"])
def test_a_primary_with_invalid_framing_resets_the_client(reply: str) -> None:
    with mirroring(reply=reply, framing="lines", limit="10B") as proxy:
        client, primary, _ = connect(proxy)
        primary.send(bytes(100))
        proxy.elapse(0.1)
        assert client.received == b""
        assert client.reset_seen


# -- invalid options -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("table", "error"),
    [
        ({"reply": "all"}, 'reply = "all" chooses messages and needs a framing'),
        ({"reply": "quorum"}, 'for example framing = "lines"'),
        ({"on_lag": "drop_oldest"}, "drops whole messages and needs a framing"),
        ({"on_lag": "block"}, "must be"),
        ({"mirrors": []}, "at least 1"),
        ({"mirrors": ["udp://127.0.0.1:9"]}, "a mirror must be at tcp://, tls:// or unix:"),
        ({"framing": "lines", "unresolved": "two\nlines"}, "delimiter"),
    ],
)
def test_invalid_options_are_refused(table: dict[str, Any], error: str) -> None:
    with pytest.raises(OptionsError) as caught:
        read_options(Mirror, {"mirrors": [M1], **table}, Path())
    assert error in str(caught.value.problems)
