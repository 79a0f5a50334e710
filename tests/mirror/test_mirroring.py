"""Mirroring as a base, and the machines that it is made of. The rest is told in test_mirror."""

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


class Odd(Mirroring):
    """Mirrors every second client."""

    framing = lines()
    reply = "first"

    def mirrors(self) -> list[Server]:
        self.count("seen")
        return [Server(SHADOW)] if self.service.counts["seen"] % 2 else []


def test_a_subclass_says_who_is_mirrored() -> None:
    with SimulatedProxy(Odd) as proxy:
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


class Wrong(Mirroring):
    """Asks for a quorum of bytes."""

    reply = "quorum"

    def mirrors(self) -> list[Server]:
        return [Server(SHADOW)]


def test_what_cannot_be_chosen_is_a_mistake() -> None:
    with SimulatedProxy(Wrong) as proxy:
        proxy.client()
        with pytest.raises(ValueError, match='reply = "quorum" chooses messages'):
            proxy.run()


@pytest.mark.parametrize(
    ("machine", "holes"),
    [
        (Mirroring, None),
        (MirroredTunnel, None),
        (MirrorTarget, {"ALIVE FINISHED"}),
        # When the primary is done the client is not read here any more.
        (RequestDirection, {f"TRAILING {event.name}" for event in READS}),
        (ReplyDirection, {"CHOOSING WRITE_COMPLETE", "CHOOSING STALLED"}),
    ],
)
def test_the_machines(machine: type[Machine], holes: set[str] | None) -> None:
    found = check_machine(machine)
    assert holes is None or found == holes
