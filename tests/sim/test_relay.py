"""A whole relay under every fault, with random options, from seeds.

Each sink hears whole messages of each producer, each once, in their order. One that blocks and
stays hears all from its first message on. Memory is what options grant. It ends rounds as `ends`
says and only then; after its stop nothing is left of it, after a signal nothing but who is slow.
"""

from __future__ import annotations

import re
from collections import defaultdict
from random import Random
from typing import Any

import pytest

from vcproxy.drivers.sim import NetworkFaults, Peer, seeds
from vcproxy.engine.address import Address
from vcproxy.engine.blocks import SLAB
from vcproxy.engine.iobuffer import MESSAGE_OVERHEAD
from vcproxy.plugins.relay import Relay
from vcproxy.relay.options import RelayOptions, Target
from vcproxy.sessions.program import Signal
from vcproxy.sessions.streams import READ_AHEAD
from vcproxy.testing.proxy import SimulatedProxy
from vcproxy.tunnels.history import History
from vcproxy.tunnels.lag import OnLag
from vcproxy.tunnels.one_way_multi import Ends

SEEDS = list(seeds(500))
HERE, FEED = Address("tcp", "here", 1), Address("tcp", "feed", 1)
TARGETS = Address("tcp", "one", 1), Address("tcp", "two", 1)
POLICIES: list[OnLag] = ["block", "drop_oldest", "drop_newest", "disconnect"]
RULES: list[Ends] = ["never", "never", "last", "any_required"]
MESSAGE = re.compile(rb"(\d+)\.(\d+):x*")


def chosen(random: Random) -> RelayOptions:
    """Some options."""
    ends = random.choice(RULES)
    return RelayOptions(
        framing=random.choice(["lines", "json-lines"]),
        source=random.choice([None, None, FEED]),
        producers="exclusive",
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


class Crowd:
    """Everybody whom a relay has to do with, and what they do to it."""

    def __init__(self, proxy: SimulatedProxy, options: RelayOptions, random: Random) -> None:
        self.proxy = proxy
        self.options = options
        self.random = random
        self.subscribers: list[Peer] = []
        self.slow: list[Peer] = []
        """Who has stalled, and now and then reads again."""
        self.producers: list[Peer] = []
        """A producer's place here is its name; a source has a new one for each connection."""
        self.said: defaultdict[int, int] = defaultdict(int)
        """How many messages each has said, whole or not."""

    def act(self) -> None:
        """Somebody does something."""
        acts = {"speak": 12, "join": 2, "come": 1, "leave": 1, "stall": 2, "wake": 1}
        [act] = self.random.choices(list(acts), list(acts.values()))
        getattr(self, act)()

    def join(self) -> None:
        self.subscribers.append(self.proxy.client("subscribers"))

    def come(self) -> None:
        """One more producer; one that is there already may have gone before."""
        if self.options.source is None:
            if self.producers and self.random.random() < 0.7:
                self.random.choice([Peer.end, Peer.reset, Peer.close])(self.producers[-1])
            self.producers.append(self.proxy.client())

    def speak(self) -> None:
        if self.options.source is not None:
            self.producers = self.proxy.peers(str(FEED))
        if self.producers:
            number = len(self.producers) - 1
            peer = self.producers[number]
            for _ in range(self.random.choice([1, 1, 5, 30])):
                size = self.random.choice([0, 30, 900, 4000])
                peer.send(b"%d.%d:%s\n" % (number, self.said[number], b"x" * size))
                self.said[number] += 1

    @property
    def sinks(self) -> list[Peer]:
        met = (self.proxy.peers(str(target.to)) for target in self.options.targets)
        return [*self.subscribers, *(peer for peers in met for peer in peers)]

    def leave(self) -> None:
        if self.sinks:
            leaving = self.random.choice(self.sinks)
            self.random.choice([Peer.end, Peer.reset, Peer.close])(leaving)

    def stall(self) -> None:
        if self.sinks:
            self.slow.append(self.random.choice(self.sinks))
            self.slow[-1].stall()

    def wake(self) -> None:
        if self.slow:
            self.slow.pop().resume()


def heard(peer: Peer) -> list[tuple[int, int]]:
    """The messages that it has heard, by their producers: whole ones, or it fails."""
    *lines, rest = bytes(peer.received).split(b"\n")
    if peer.ended and not peer.reset_seen:
        assert not rest, "half a message, then the end"
    messages = [MESSAGE.fullmatch(line) for line in lines]
    assert all(messages), "not whole messages"
    return [(int(each[1]), int(each[2])) for each in messages if each]


def granted(options: RelayOptions, sinks: int) -> int:
    """The bytes that a relay may keep: what the largest lag and the history say, and slack.

    The slack: what one read brings after it was full, what each producer has read ahead, and what
    is set apart for each sink that has to do without some messages. What is read ahead occupies
    more as messages than as bytes: the shortest has 5.
    """
    read_ahead = READ_AHEAD // 5 * (5 + MESSAGE_OVERHEAD)
    most = max(lag.max_lag for lag in (options.lag, *map(options.lag_of, options.targets)))
    return 2 * options.kept.bytes + SLAB + 3 * read_ahead + sinks * (most + options.limit)


@pytest.mark.parametrize("seed", SEEDS)
def test_it_does_what_it_says_in_any_weather(seed: int) -> None:
    random = Random(seed)
    options = chosen(random)
    faults = NetworkFaults.all().some(random)
    proxy = SimulatedProxy(
        Relay, (), options=options, inactivity_s=20.0, connect_s=5.0, seed=seed, faults=faults
    )
    with proxy:
        crowd = Crowd(proxy, options, random)
        program: Any = proxy.program
        for _ in range(random.choice([40, 120])):
            crowd.act()
            proxy.elapse(random.choice([0.0, 0.001, 0.05, 3.0]))
            most = granted(options, len(program.tunnel._sinks))
            assert proxy.engine.memory.used <= most
        judge(crowd, options)
        obeyed(options, proxy.log)
        if random.random() < 0.5:
            proxy.programs.stop_others(())
            proxy.elapse(1)  # to take a lock, to close descriptors, and for who was just coming
        else:
            proxy.programs.deliver(Signal(15))
            proxy.sim.run(until=lambda: not proxy.engine.vcs, limit=60.0)
        assert not proxy.engine.vcs
        assert not program.mutex.vcs
        assert proxy.engine.memory.used == 0
        judge(crowd, options)
        proxy.elapse(10)  # who was on the way when it was given up is there by now
        met = [proxy.connections(str(target.to)) for target in options.targets]
        proxy.elapse(100)
        assert met == [proxy.connections(str(target.to)) for target in options.targets]
        assert not proxy.engine.vcs


def judge(crowd: Crowd, options: RelayOptions) -> None:
    """Look at what each has heard."""
    for peer in crowd.sinks:
        order = heard(peer)
        for producer in {producer for producer, _ in order}:
            of_one = [number for each, number in order if each == producer]
            assert of_one == sorted(set(of_one)), "out of order, or twice"
            assert of_one[-1] < crowd.said[producer]
            if options.on_lag == "block" and peer in crowd.subscribers:
                assert of_one == list(range(of_one[0], of_one[-1] + 1)), "block has lost something"
        producers = [producer for producer, _ in order]
        assert producers == sorted(producers), "who was refused has spoken, or after its end"


def obeyed(options: RelayOptions, log: list[str]) -> None:
    """Whether rounds have ended as `ends` says."""
    ended, lost, alone = (
        sum(bool(re.search(pattern, said)) for said in log)
        for pattern in (
            "starts again",
            r"proxy tcp://\S+: sink closed",
            r": sink closed: .* 0 sinks$",
        )
    )
    rounds = {"never": 0, "any_required": lost, "last": alone}[options.ends]
    assert ended in (rounds, rounds - 1), "the last one may be about to end"
