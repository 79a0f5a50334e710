"""Data that was sent before an error or a reset still arrives; under random faults without loss.

A peer that closes with unread input ends its connection with a reset after its data.
VCPROXY_SEEDS sets the number of seeds, VCPROXY_SEED repeats one.
"""

from __future__ import annotations

from random import Random
from typing import Any

import pytest

from vcproxy.drivers.sim import NetworkFaults, Peer, seeds
from vcproxy.engine.address import Address
from vcproxy.engine.failures import TlsError
from vcproxy.framing import framing as framings
from vcproxy.messages.validator import Validator
from vcproxy.messages.verdict import Accept, Defer, Verdict
from vcproxy.mirror.mirroring import Mirroring, Reply
from vcproxy.plugins.mirror import Mirror
from vcproxy.relay.relay import Relay
from vcproxy.sessions.forwarder import Forwarder
from vcproxy.testing.proxy import SimulatedProxy
from vcproxy.upstream.server import Server

SEEDS = list(seeds(200))
BATCHES = [SEEDS[n::10] for n in range(10) if SEEDS[n::10]]

FAULTS = NetworkFaults(
    latency=(0.0, 0.02),
    short=0.1,
    one_byte=0.01,
    stall=0.02,
    stall_s=(0.01, 0.3),
    close_s=(0.0, 0.1),
    lock_miss=0.1,
    no_pipe=0.2,
    pipe=(1000, 256 * 1024),
    socket=(1000, 256 * 1024),
)
"""Faults that delay and divide data, but lose nothing; shorter than the stall limit of a sink."""

MIRROR = Address("tcp", "mirror", 1)

SIZES = [1, 100, 5_000, 70_000, 500_000]


class Lines(Validator):
    """Accepts each line, some of them after a delay."""

    def check(self, message: bytes) -> Verdict:
        return Defer(Accept, deadline="5s") if message.startswith(b"7") else Accept()


class Mirrored(Mirroring):
    """Mirrors to one server."""

    def mirrors(self) -> list[Server]:
        return [Server(MIRROR)]


class MirroredLines(Mirrored):
    """Mirrors lines, and may drop some."""

    framing = framings.lines()
    on_lag = "drop_oldest"


def lines(size: int) -> bytes:
    """Return complete lines, about `size` bytes in all."""
    numbered = (b"%d\n" % n for n in range(size))
    text = bytearray()
    while len(text) < size:
        text += next(numbered)
    return bytes(text)


def close_with_unread_input(peer: Peer, other: Peer, proxy: SimulatedProxy) -> None:
    """Close a peer that has unread input: a reset follows its data."""
    proxy.sim.run(until=lambda: other.connected)
    peer.stall()
    other.send(b"unread\n")
    proxy.elapse(5)
    peer.close()


def read_in_pieces(peer: Peer, proxy: SimulatedProxy) -> None:
    """Read with pauses, shorter than the limit for draining after a reset."""
    for _ in range(20):
        peer.stall()
        proxy.elapse(0.2)
        peer.resume()
        proxy.elapse(0.01)


@pytest.mark.parametrize("batch", BATCHES, ids=lambda batch: f"from {batch[0]}")
@pytest.mark.parametrize("plugin", [Forwarder, Lines, Mirrored, MirroredLines])
def test_data_of_a_client_arrives_before_its_reset(
    plugin: type[Forwarder | Validator], batch: list[int]
) -> None:
    for seed in batch:
        message = lines(Random(seed).choice(SIZES))
        upstreams = {"mirror": ["mirror"]} if issubclass(plugin, Mirrored) else None
        with SimulatedProxy(plugin, seed=seed, faults=FAULTS, upstreams=upstreams) as proxy:
            client = proxy.client()
            client.send(message)
            server = proxy.server()
            close_with_unread_input(client, server, proxy)
            read_in_pieces(server, proxy)
            proxy.run()
            assert server.received == message
            assert server.reset_seen
            if issubclass(plugin, Mirrored):
                mirror = proxy.server("mirror")
                assert mirror.received == message or plugin is MirroredLines
                assert mirror.reset_seen
            assert not proxy.engine.vcs
            assert proxy.engine.memory.used == 0


@pytest.mark.parametrize("batch", BATCHES, ids=lambda batch: f"from {batch[0]}")
@pytest.mark.parametrize("plugin", [Forwarder, Lines, Mirrored, MirroredLines])
def test_data_of_a_server_arrives_before_its_reset(
    plugin: type[Forwarder | Validator], batch: list[int]
) -> None:
    for seed in batch:
        message = lines(Random(seed).choice(SIZES))
        upstreams = {"mirror": ["mirror"]} if issubclass(plugin, Mirrored) else None
        with SimulatedProxy(plugin, seed=seed, faults=FAULTS, upstreams=upstreams) as proxy:
            client = proxy.client()
            client.send(b"begin\n")
            server = proxy.server()
            server.send(message)
            close_with_unread_input(server, client, proxy)
            read_in_pieces(client, proxy)
            proxy.run()
            assert client.received == message
            assert client.reset_seen
            assert not proxy.engine.vcs
            assert proxy.engine.memory.used == 0


@pytest.mark.parametrize("batch", BATCHES, ids=lambda batch: f"from {batch[0]}")
def test_data_of_a_producer_arrives_before_its_reset(batch: list[int]) -> None:
    here = Address("tcp", "subscribers", 1)
    for seed in batch:
        random = Random(seed)
        message = lines(random.choice(SIZES))
        framing = random.choice(["none", "lines"])
        options = Relay.Options(subscribers=(here,), framing=framing, on_lag="block")
        with SimulatedProxy(Relay, (), options=options, seed=seed, faults=FAULTS) as proxy:
            subscriber, producer = proxy.client("subscribers"), proxy.client()
            proxy.elapse(5)
            producer.send(message)
            proxy.elapse(5)
            producer.send(b"")
            producer.close()
            read_in_pieces(subscriber, proxy)
            proxy.elapse(10)
            assert subscriber.received == message


def test_a_reset_validated_client_is_closed_although_its_server_stalls() -> None:
    with SimulatedProxy(Lines) as proxy:
        client = proxy.client()
        client.send(lines(2_000_000))
        server = proxy.server()
        server.stall()
        proxy.elapse(10)
        assert client.sent < 2_000_000
        client.reset()
        proxy.elapse(5)
        assert not proxy.engine.vcs, "although the server does not read"
        server.resume()
        proxy.elapse(1)
        assert server.reset_seen
        assert proxy.engine.memory.used == 0


@pytest.mark.parametrize(
    ("reply", "framing", "on_lag"),
    [
        ("primary", "none", "disconnect"),
        ("first", "none", "disconnect"),
        ("primary", "lines", "drop_oldest"),
        ("first", "lines", "drop_newest"),
        ("all", "lines", "disconnect"),
        ("all", "lines", "drop_oldest"),
    ],
)
@pytest.mark.parametrize("mirror_stalls", [False, True])
def test_a_reset_mirrored_client_is_closed_although_its_primary_stalls(
    reply: Reply, framing: Any, on_lag: Any, mirror_stalls: bool
) -> None:
    options = Mirror.Options(
        mirrors=(MIRROR,), reply=reply, framing=framing, on_lag=on_lag, max_lag=1000
    )
    with SimulatedProxy(Mirror, options=options) as proxy:
        client = proxy.client()
        client.send(b"begin\n")
        server, mirror = proxy.server(), proxy.server(str(MIRROR))
        proxy.elapse(1)
        server.stall()
        if mirror_stalls:
            mirror.stall()
        client.send(lines(2_000_000))
        proxy.elapse(10)
        assert client.sent < 2_000_000
        client.reset()
        proxy.elapse(0.5)
        assert proxy.engine.vcs
        proxy.elapse(2.5)
        assert not proxy.engine.vcs, "although the primary does not read"
        assert [line for line in proxy.log if "a connection failed" in line]
        server.resume()
        mirror.resume()
        proxy.elapse(1)
        assert server.reset_seen
        assert mirror.reset_seen
        proxy.sessions.clear()
        assert proxy.engine.memory.used == 0


def test_a_client_that_ends_without_close_notify_still_gets_a_late_reply() -> None:
    with SimulatedProxy(Lines) as proxy:
        client = proxy.client()
        client.send(b"1\n")
        server = proxy.server()
        proxy.elapse(1)
        proxy.sessions[0].client.ended(TlsError("it ended without close_notify"))
        proxy.elapse(100)
        server.send(b"reply\n")
        server.end()
        proxy.run()
        assert server.received == b"1\n"
        assert client.received == b"reply\n"


@pytest.mark.parametrize("batch", BATCHES, ids=lambda batch: f"from {batch[0]}")
def test_a_mirror_that_is_reset_as_the_client_ends_is_closed(batch: list[int]) -> None:
    """The mirror has received everything in the same turn in which its connection fails."""
    for seed in batch:
        upstreams = {"mirror": ["mirror"]}
        with SimulatedProxy(Mirrored, seed=seed, upstreams=upstreams) as proxy:
            client = proxy.client()
            client.send(lines(1000))
            server, mirror = proxy.server(), proxy.server("mirror")
            for peer in (server, mirror):
                proxy.sim.run(until=lambda peer=peer: peer.connected)  # type: ignore[misc]
            for action in (client.end, server.end, mirror.reset):
                proxy.sim.clock.after(0.01, action)
            proxy.run()
            assert client.ended
            assert not proxy.engine.vcs
            assert proxy.engine.memory.used == 0
