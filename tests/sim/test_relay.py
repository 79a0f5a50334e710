"""A relay under all faults, with random options, from seeds.

Each sink receives complete messages of each producer, each once, in order. A sink with the policy
`block` that stays connected receives all from its first message on. Memory stays within the limits
of the options. Rounds end as `ends` requires, and only then. After a stop nothing is left open;
after a signal only slow sinks are left, until they have drained.
"""

from __future__ import annotations

import re
from collections import defaultdict
from random import Random
from typing import Any

import pytest

from vcproxy.config.secret import Secret
from vcproxy.drivers.sim import NetworkFaults, Peer, seeds
from vcproxy.engine.address import Address
from vcproxy.engine.blocks import SLAB
from vcproxy.engine.iobuffer import MESSAGE_OVERHEAD
from vcproxy.plugins.relay import RelayPlugin
from vcproxy.relay.options import RelayOptions, RelaySource, Target
from vcproxy.sessions.program import Signal
from vcproxy.sessions.streams import READ_AHEAD
from vcproxy.testing.proxy import SimulatedProxy
from vcproxy.tunnels.history import History
from vcproxy.tunnels.lag_policy import OnLag
from vcproxy.tunnels.one_way_multi import Ends

SEEDS = list(seeds(500))
HERE = Address("tcp", "here", 1)
FEEDS = Address("tcp", "feed", 1), Address("tcp", "feed", 2)
TARGETS = Address("tcp", "one", 1), Address("tcp", "two", 1)
POLICIES: list[OnLag] = ["block", "drop_oldest", "drop_newest", "disconnect"]
RULES: list[Ends] = ["never", "never", "last", "any_required"]
MESSAGE = re.compile(rb"(\d+)\.(\d+):x*")


def random_options(random: Random) -> RelayOptions:
    """Return random options."""
    ends = random.choice(RULES)
    feeds = random.choice([0, 0, 1, 2])
    return RelayOptions(
        framing=random.choice(["lines", "json-lines"]),
        source=tuple(
            RelaySource(feed, random.choice([None, Secret("LOGIN\n")])) for feed in FEEDS[:feeds]
        ),
        producers=random.choice(["exclusive", "interleave"]) if feeds else "exclusive",
        subscribers=(HERE,),
        targets=tuple(
            Target(
                to,
                on_lag=random.choice([None, *POLICIES]),
                join=random.choice([None, "head", "tail"]),
                required=ends == "any_required",
            )
            for to in TARGETS
            if ends == "any_required" or random.random() < 0.7
        ),
        max_lag=random.choice([1, 2000, 20_000]),
        on_lag=random.choice(POLICIES),
        history=random.choice([History(), History(bytes=3000), History(messages=3)]),
        join=random.choice(["head", "tail"]),
        ends=ends,
        limit=5000,
    )


class Peers:
    """The peers of a relay, and their random actions."""

    def __init__(self, proxy: SimulatedProxy, options: RelayOptions, random: Random) -> None:
        self.proxy = proxy
        self.options = options
        self.random = random
        self.subscribers: list[Peer] = []
        self.slow: list[Peer] = []
        """Stalled sinks, which resume reading later."""
        self.producers: list[Peer] = []
        """A producer's index here is its name."""
        self.sent: defaultdict[int, int] = defaultdict(int)
        """How many messages each producer has sent, complete or not."""

    def act(self) -> None:
        """Make one random action."""
        acts = {"send": 12, "join": 2, "produce": 1, "leave": 1, "stall": 2, "resume": 1}
        [act] = self.random.choices(list(acts), list(acts.values()))
        getattr(self, act)()

    def join(self) -> None:
        self.subscribers.append(self.proxy.client("subscribers"))

    def produce(self) -> None:
        """Connect one more producer; an earlier one may be ended before."""
        if self.options.served:
            if self.producers and self.random.random() < 0.7:
                self.random.choice([Peer.end, Peer.reset, Peer.close])(self.producers[-1])
            self.producers.append(self.proxy.client())

    def sending(self) -> dict[int, Peer]:
        """Return who may send, by name; each connection of a source has a new name."""
        last = {}
        if self.producers:
            last[len(self.producers) - 1] = self.producers[-1]
        for index, source in enumerate(self.options.source, 1):
            peers = self.proxy.peers(str(source.address))
            if peers:
                last[index * 1000 + len(peers)] = peers[-1]
        return last

    def send(self) -> None:
        sending = self.sending()
        if sending:
            number = self.random.choice(list(sending))
            peer = sending[number]
            for _ in range(self.random.choice([1, 1, 5, 30])):
                size = self.random.choice([0, 30, 900, 4000])
                peer.send(b"%d.%d:%s\n" % (number, self.sent[number], b"x" * size))
                self.sent[number] += 1

    @property
    def sinks(self) -> list[Peer]:
        connected = (self.proxy.peers(str(target.to)) for target in self.options.targets)
        return [*self.subscribers, *(peer for peers in connected for peer in peers)]

    def leave(self) -> None:
        if self.sinks:
            leaving = self.random.choice(self.sinks)
            self.random.choice([Peer.end, Peer.reset, Peer.close])(leaving)

    def stall(self) -> None:
        if self.sinks:
            self.slow.append(self.random.choice(self.sinks))
            self.slow[-1].stall()

    def resume(self) -> None:
        if self.slow:
            self.slow.pop().resume()


def received(peer: Peer) -> list[tuple[int, int]]:
    """Return the received messages as (producer, number); fail if one is incomplete."""
    *lines, rest = bytes(peer.received).split(b"\n")
    if peer.ended and not peer.reset_seen:
        assert not rest, "an incomplete message before the end"
    messages = [MESSAGE.fullmatch(line) for line in lines]
    assert all(messages), "incomplete messages"
    return [(int(each[1]), int(each[2])) for each in messages if each]


def memory_limit(options: RelayOptions, sinks: int) -> int:
    """Return the bytes that a relay may hold: by the largest lag and the history, plus slack.

    The slack: one read beyond the limit, what each producer has read ahead, and the separate
    buffer of each sink that skips messages. Data that is read ahead takes more memory as messages
    than as bytes: the shortest message has 5 bytes.
    """
    read_ahead = READ_AHEAD // 5 * (5 + MESSAGE_OVERHEAD)
    most = max(lag.max_lag for lag in (options.lag, *map(options.lag_of, options.targets)))
    return 2 * options.kept.bytes + SLAB + 3 * read_ahead + sinks * (most + options.limit)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_relay_keeps_its_promises_under_all_faults(seed: int) -> None:
    random = Random(seed)
    options = random_options(random)
    faults = NetworkFaults.all().some(random)
    proxy = SimulatedProxy(
        RelayPlugin, (), options=options, inactivity_s=20.0, connect_s=5.0, seed=seed, faults=faults
    )
    with proxy:
        peers = Peers(proxy, options, random)
        program: Any = proxy.program
        for _ in range(random.choice([40, 120])):
            peers.act()
            proxy.elapse(random.choice([0.0, 0.001, 0.05, 3.0]))
            most = memory_limit(options, len(program.tunnel._sinks))
            assert proxy.engine.memory.used <= most
        check_sinks(peers, options)
        check_rounds(options, proxy.log)
        if random.random() < 0.5:
            proxy.programs.stop_others(())
            proxy.elapse(1)  # for locks, closing descriptors, and clients that are still connecting
        else:
            proxy.programs.deliver(Signal(15))
            proxy.sim.run(until=lambda: not proxy.engine.vcs, limit=60.0)
        assert not proxy.engine.vcs
        assert not program.mutex.vcs
        assert proxy.engine.memory.used == 0
        check_sinks(peers, options)
        proxy.elapse(10)  # attempts that were cancelled have arrived by now
        connections = [proxy.connections(str(target.to)) for target in options.targets]
        proxy.elapse(100)
        assert connections == [proxy.connections(str(target.to)) for target in options.targets]
        assert not proxy.engine.vcs


def check_sinks(peers: Peers, options: RelayOptions) -> None:
    """Check what each sink has received."""
    for peer in peers.sinks:
        order = received(peer)
        for producer in {producer for producer, _ in order}:
            of_one = [number for each, number in order if each == producer]
            assert of_one == sorted(set(of_one)), "out of order or duplicate"
            assert of_one[-1] < peers.sent[producer]
            if options.on_lag == "block" and peer in peers.subscribers:
                assert of_one == list(range(of_one[0], of_one[-1] + 1)), "block has lost something"
        # 0 are those that connected; of one source at a time there is one connection
        for origin in range(options.producers == "interleave", 1 + len(options.source)):
            producers = [producer for producer, _ in order if producer // 1000 == origin]
            assert producers == sorted(producers), "messages of a refused or ended producer"


def check_rounds(options: RelayOptions, log: list[str]) -> None:
    """Check that rounds have ended as `ends` requires."""
    ended, lost, alone = (
        sum(bool(re.search(pattern, line)) for line in log)
        for pattern in (
            "starts again",
            r"proxy tcp://\S+: sink closed",
            r": sink closed: .* 0 sinks$",
        )
    )
    rounds = {"never": 0, "any_required": lost, "last": alone}[options.ends]
    assert ended in (rounds, rounds - 1), "the last round may be ending"
