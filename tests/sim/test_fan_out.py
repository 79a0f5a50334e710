"""OneWayMultiTunnel under all faults, with all lag policies, from seeds.

Each sink receives complete messages, each once, in order. A sink with the policy `block` that stays
connected receives all messages that are published after it joined. The tunnel ends as its setting
`ends` requires, and not before. No buffer memory is left.
"""

from __future__ import annotations

from collections.abc import Hashable
from functools import partial
from random import Random

import pytest

from vcproxy.drivers.sim import NetworkFaults, Peer, Simulation, seeds
from vcproxy.engine.address import Address
from vcproxy.engine.continuation import Continuation
from vcproxy.engine.engine import Engine
from vcproxy.engine.listener import Listener
from vcproxy.engine.mutex import Mutex
from vcproxy.engine.net import NetVConnection
from vcproxy.engine.vconnection import VConnection
from vcproxy.tunnels.done import Reason, SinkDone, TunnelDone
from vcproxy.tunnels.history import History
from vcproxy.tunnels.lag_policy import LagPolicy, OnLag
from vcproxy.tunnels.one_way_multi import Ends, OneWayMultiTunnel

SEEDS = list(seeds(500))
MESSAGES = 120
POLICIES: list[OnLag] = ["block", "drop_oldest", "drop_newest", "disconnect"]
RULES: list[Ends] = ["last", "any_required", "never"]
MOST = 5000


class Consumer:
    """One sink: its peer, and how it was added."""

    peer: Peer

    def __init__(self, policy: OnLag, random: Random) -> None:
        self.policy = policy
        self.required = random.random() < 0.3
        self.late = random.random() < 0.5
        self.joined: int | None = None
        """How many messages had been published before."""

    def accept(self, publisher: Publisher, vc: NetVConnection) -> Continuation:
        vc.join(publisher.mutex)
        return publisher


class Publisher(Continuation):
    """Owns the tunnel: publishes messages, adds accepted sinks, closes those that are done."""

    def __init__(self, engine: Engine, seed: int, ends: Ends) -> None:
        super().__init__(engine, Mutex())
        self.random = Random(seed)
        self.ends = ends
        self.published: list[bytes] = []
        self.done: TunnelDone | None = None
        self.sinks_done: list[SinkDone] = []
        self.by_name: dict[str, Consumer] = {}
        self.consumers: dict[VConnection, Consumer] = {}
        history = History(bytes=self.random.choice([0, 3000]))
        with self.mutex.hold(engine):
            self.tunnel = OneWayMultiTunnel(
                self, message_oriented=True, ends=ends, history=history, stall_s=30.0
            )
            self.tunnel.start()

    def handle_event(self, key: Hashable, data: object) -> None:
        if callable(data):
            data()
        elif isinstance(data, NetVConnection):
            assert data.listener is not None
            self._add(data, self.by_name[data.listener.name])
        elif isinstance(data, SinkDone):
            self.sinks_done.append(data)
            data.sink.do_io_close(None if data.reason is Reason.EOS else ConnectionError())
        elif isinstance(data, TunnelDone):
            assert self.done is None, "it is delivered once"
            self.done = data
            for vc in list(self.mutex.vcs):
                vc.do_io_close()

    def _add(self, vc: NetVConnection, consumer: Consumer) -> None:
        consumer.joined = len(self.published)
        self.consumers[vc] = consumer
        self.tunnel.add_sink(
            vc,
            required=consumer.required,
            lag=LagPolicy(MOST, consumer.policy),
            join="tail" if consumer.late else "head",
        )

    def publish(self) -> None:
        """Publish the next message if there is room, and schedule the one after it."""
        if len(self.published) == MESSAGES:
            self.tunnel.finish()
        elif self.done is None:
            if not self.tunnel.full:
                size = self.random.choice([1, 30, 900, 4000])
                message = b"%d:%s\n" % (len(self.published), b"x" * size)
                self.published.append(message)
                self.tunnel.publish([message])
            pause = self.random.choice([0.0, 0.001, 0.02])
            self.engine.schedule_in(pause, self, "act", self.publish)


@pytest.mark.parametrize("seed", SEEDS)
def test_every_sink_receives_complete_messages_in_order(seed: int) -> None:
    random = Random(seed)
    with Simulation(seed, NetworkFaults.all().some(random)) as sim:
        drivers = [sim.driver(f"engine {n}") for n in range(random.choice([1, 1, 2]))]
        drivers[0].group = drivers
        publisher = Publisher(drivers[0].engine, seed, random.choice(RULES))

        for number in range(5):
            consumer = Consumer(random.choice(POLICIES), random)
            listener = Listener(f"{number}", partial(consumer.accept, publisher), publisher.engine)
            address = drivers[0].listen(Address("tcp", "relay"), listener)
            consumer.peer = sim.client(address)
            publisher.by_name[listener.name] = consumer
            at = random.uniform(0.0, 1.0)
            act = random.choice(["stall", "end", "reset", "nothing", "nothing"])
            if act != "nothing":
                sim.clock.after(at, getattr(consumer.peer, act))
            if act == "stall":
                sim.clock.after(at + random.choice([0.5, 60.0]), consumer.peer.resume)
        publisher.engine.schedule_in(0.2, publisher, "act", publisher.publish)
        sim.run(limit=36_000)
        check_sinks(publisher)
        for driver in drivers:
            assert driver.engine.memory.used == 0


def check_sinks(publisher: Publisher) -> None:
    """Check what each sink has received, and how the tunnel has ended."""
    finished = {done.sink: done for done in publisher.sinks_done}
    for vc, consumer in publisher.consumers.items():
        messages = consumer.peer.received.split(b"\n")
        rest = messages.pop()
        complete = finished[vc].reason is Reason.EOS if vc in finished else False
        if complete and consumer.peer.ended:
            assert rest == b"", "an incomplete message before the end"
        numbers = [int(message.partition(b":")[0]) for message in messages]
        assert [message + b"\n" for message in messages] == [
            publisher.published[n] for n in numbers
        ]
        assert numbers == sorted(set(numbers)), "out of order or duplicate"
        if consumer.policy == "block" and numbers:
            first, last = numbers[0], numbers[-1]
            assert numbers == list(range(first, last + 1)), "block has lost something"
            assert first <= (consumer.joined or 0)
            if complete and consumer.peer.ended:
                assert last == MESSAGES - 1
    check_end(publisher, finished)


def check_end(publisher: Publisher, finished: dict[VConnection, SinkDone]) -> None:
    """Check that the tunnel has ended as `ends` requires."""
    lost = [done for done in publisher.sinks_done if done.reason is not Reason.EOS]
    required = [done for done in lost if publisher.consumers[done.sink].required]
    assert publisher.done is not None
    early = publisher.done.reason is not Reason.EOS
    if publisher.ends == "never":
        assert not early
    elif publisher.ends == "any_required":
        assert not early or required
    elif early:
        assert all(vc in finished for vc in publisher.consumers if vc is not lost[-1].sink)
