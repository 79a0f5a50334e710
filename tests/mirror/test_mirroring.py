"""Mirroring as a base class, and its machines. The rest is in tests/plugins/test_mirror.py."""

from __future__ import annotations

import pytest

from vcproxy.engine.address import Address
from vcproxy.engine.event import Event
from vcproxy.framing.framing import lines
from vcproxy.machine.machine import Machine
from vcproxy.mirror.mirroring import Mirroring
from vcproxy.mirror.reply_direction import ReplyDirection
from vcproxy.mirror.request_direction import RequestDirection
from vcproxy.mirror.target import MirrorTarget
from vcproxy.mirror.tunnel import MirroredTunnel
from vcproxy.testing.machines import check_machine
from vcproxy.testing.proxy import SimulatedProxy
from vcproxy.upstream.server import Server

READS = (
    *(Event.READ_READY, Event.EOS, Event.ERROR),
    *(Event.INACTIVITY_TIMEOUT, Event.ACTIVE_TIMEOUT),
)

SHADOW = Address.parse("tcp://shadow:1")


class EverySecond(Mirroring):
    """Mirrors every second client."""

    framing = lines()
    reply = "first"

    def mirrors(self) -> list[Server]:
        self.count("seen")
        return [Server(SHADOW)] if self.service.counts["seen"] % 2 else []


def test_a_subclass_chooses_the_mirrored_clients() -> None:
    with SimulatedProxy(EverySecond) as proxy:
        shadow = proxy.sim.server(SHADOW)
        one, other = proxy.client(), proxy.client()
        proxy.run()
        assert len(shadow.peers) == 1
        one.send(b"1\n")
        other.send(b"2\n")
        proxy.run()
        assert shadow.peers[0].received == b"1\n"
        shadow.peers[0].send(b"quick\n")
        proxy.run()
        assert one.received == b"quick\n"
        assert other.received == b""


class WithoutFraming(Mirroring):
    """A quorum without a framing."""

    reply = "quorum"

    def mirrors(self) -> list[Server]:
        return [Server(SHADOW)]


def test_a_quorum_needs_a_framing() -> None:
    with SimulatedProxy(WithoutFraming) as proxy:
        proxy.client()
        with pytest.raises(ValueError, match='reply = "quorum" chooses messages'):
            proxy.run()


@pytest.mark.parametrize(
    ("machine", "holes"),
    [
        (Mirroring, None),
        (MirroredTunnel, None),
        (MirrorTarget, {"ALIVE FINISHED"}),
        # After the primary is done, this machine does not read the client.
        (RequestDirection, {f"TRAILING {event.name}" for event in READS}),
        (ReplyDirection, {"CHOOSING WRITE_COMPLETE", "CHOOSING STALLED"}),
    ],
)
def test_the_events_that_cannot_reach_the_machines(
    machine: type[Machine], holes: set[str] | None
) -> None:
    found = check_machine(machine)
    assert holes is None or found == holes
