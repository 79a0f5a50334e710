"""Plugins fail closed: after any error in a plugin's code its conversation is reset, the error is
logged, other conversations continue, and no unverified byte has reached a server."""

from __future__ import annotations

import sys
from asyncio import CancelledError
from collections.abc import Hashable, Iterable
from typing import Any, ClassVar

import pytest

from tests.sessions.world import World, shout
from vcproxy.drivers.sim import NetworkFaults, Peer, Simulation
from vcproxy.engine.event import Event
from vcproxy.engine.net import NetVConnection
from vcproxy.engine.vio import VIO
from vcproxy.machine.state import State
from vcproxy.messages.split_rules import Part
from vcproxy.messages.splitter import Splitter
from vcproxy.messages.validator import Validator
from vcproxy.messages.verdict import Accept, Defer, Reject, Resend, Verdict
from vcproxy.sessions.service import Service
from vcproxy.sessions.session import Session


def mistake() -> Any:
    """Raise an ordinary exception."""
    raise LookupError("a mistake")


UNUSUAL: dict[bytes, type[BaseException]] = {
    b"exit": SystemExit,
    b"cancel": CancelledError,
    b"interrupt": KeyboardInterrupt,
    b"generator": GeneratorExit,
}
"""Exceptions that are not subclasses of Exception: they end a conversation in the same way."""


def raise_unusual(word: bytes) -> Any:
    """Raise one of them."""
    raise UNUSUAL[word.lower()]("goodbye")


class Fragile(Validator):
    """ "ok ..." is valid; for any other message the table gives the verdict for its first word."""

    verdicts: ClassVar[dict[bytes, Any]] = {
        b"raise": lambda: mistake(),
        b"exit": lambda: sys.exit("goodbye"),
        b"cancel": lambda: raise_unusual(b"cancel"),
        b"interrupt": lambda: raise_unusual(b"interrupt"),
        b"generator": lambda: raise_unusual(b"generator"),
        b"none": lambda: None,
        b"text": lambda: "accept",
        b"true": lambda: True,
        b"class": lambda: Accept,
        b"rewrite-text": lambda: Accept(rewritten="text"),  # type: ignore[arg-type]
        b"wait-text": lambda: Accept(wait="text"),  # type: ignore[arg-type]
        b"reject-text": lambda: Reject("no"),  # type: ignore[arg-type]
        b"resend-none": lambda: Resend(None),  # type: ignore[arg-type]
        b"no-deadline": lambda: Defer(mistake, deadline="soon"),
        b"no-function": lambda: Defer("fn", deadline="1s"),  # type: ignore[arg-type]
        b"later-raise": lambda: Defer(mistake, deadline="1s"),
        b"later-exit": lambda: Defer(sys.exit, "goodbye", deadline="1s"),
        b"later-cancel": lambda: Defer(raise_unusual, b"cancel", deadline="1s"),
        b"later-interrupt": lambda: Defer(raise_unusual, b"interrupt", deadline="1s"),
        b"later-object": lambda: Defer(object, deadline="1s"),
        b"later-class": lambda: Defer(lambda: Accept, deadline="1s"),
        b"late": lambda: Defer(Accept, deadline="10ms"),
        b"then-raise": lambda: Defer(int, deadline="1s", then=lambda *_: mistake()),
        b"then-none": lambda: Defer(str, deadline="1s", then=lambda *_: None),
    }

    def check(self, message: bytes) -> Verdict:
        word, _, _ = message.partition(b" ")
        verdict: Verdict = Accept() if word == b"ok" else self.verdicts[word]()
        return verdict


def other_conversation(world: World) -> Peer:
    """Start a conversation that is served."""
    good = world.client(b"ok 1\n")
    world.sim.run(until=lambda: good.received == b"OK 1\n")
    return good


def check_other(world: World, good: Peer, server_received: bytes = b"ok 1\n") -> None:
    """Check that the other client continues, and that only valid messages have reached a server."""
    assert world.at_server == server_received
    good.send(b"ok 2\n")
    world.sim.run(until=lambda: good.received.endswith(b"OK 2\n"))
    good.end()
    world.sim.run(until=lambda: good.ended)
    good.close()
    world.settle()


@pytest.mark.parametrize("word", Fragile.verdicts, ids=bytes.decode)
@pytest.mark.parametrize("ahead", [b"", b"ok 0\n"], ids=["at once", "behind something valid"])
def test_a_mistake_in_a_verdict(word: bytes, ahead: bytes) -> None:
    with Simulation(1, NetworkFaults(call_s=(0.1, 0.1))) as sim:
        world = World(sim, Fragile, shout)
        good = other_conversation(world)
        bad = world.client(ahead)
        sim.run(until=lambda: bad.received == ahead.upper())
        bad.send(word + b" unverified\nok 3\n")
        sim.run(until=lambda: bad.reset_seen)
        assert bad.received == ahead.upper()
        line = world.logged[-1]
        assert line.startswith("Fragile <front "), "the plugin's name and the session's"
        assert "> failed; it" in line
        assert " got '" in line, "the history"
        check_other(world, good, b"ok 1\n" + ahead)


class FailingConstructor(Fragile):
    def __init__(self, client: NetVConnection, service: Service) -> None:
        super().__init__(client, service)
        if service.counts["made"]:
            self.verdicts[service.options]()  # type: ignore[index]
        service.counts["made"] += 1


@pytest.mark.parametrize("how", [b"raise", *UNUSUAL], ids=bytes.decode)
def test_a_mistake_in_the_constructor(how: bytes) -> None:
    with Simulation(1) as sim:
        world = World(sim, FailingConstructor, shout, options=how)
        good = other_conversation(world)
        bad = world.client(b"ok 3\n")
        sim.run(until=lambda: bad.reset_seen)
        assert "front " in world.logged[-1]
        assert "could not take the connection" in world.logged[-1]
        assert len(world.mistakes) == 1
        check_other(world, good)


class Waiting(Session):
    """Fails in the place that the client's first word names."""

    READING = State(initial=True)
    WAITING = State(timeout="5s")
    ENTERED, RELAYING = State(), State()
    DONE = State(final=True)

    @READING.enter
    def reading(self) -> None:
        self.buffer = self.engine.buffer()
        self.reader = self.buffer.reader()
        self.client.do_io_read(self, None, self.buffer)

    @READING.on(Event.READ_READY, to=(WAITING, ENTERED, RELAYING))
    def read(self, vio: VIO) -> State | None:
        match self.reader.read(self.reader.avail):
            case b"raise":
                mistake()
            case b"exit" | b"cancel" | b"interrupt" | b"generator" as word:
                raise_unusual(word)
            case b"nonsense":
                return "WAITING"  # type: ignore[return-value]
            case b"undeclared":
                return self.DONE
            case b"unknown":
                self.engine.schedule(self, "SURPRISE", None)
            case b"enter":
                return self.ENTERED
            case b"timer":
                return self.WAITING
            case b"ask":
                self.engine.call(self, mistake)
            case b"history":
                self.name = None  # type: ignore[assignment]
                mistake()
        return None

    READING.goes(Event.EOS, DONE)

    @WAITING.on(Event.TIMEOUT, to=DONE)
    def expired(self, _: object) -> None:
        mistake()

    @ENTERED.enter
    def entered(self) -> None:
        mistake()

    ENTERED.goes(Event.EOS, DONE)
    RELAYING.goes(Event.EOS, DONE)

    def crashed(self, error: Exception) -> str:
        if self.name is None:
            mistake()
        return super().crashed(error)


@pytest.mark.parametrize(
    ("word", "logged"),
    [
        (b"raise", "READING got 'READ_READY' from"),
        *((word, "READING got 'READ_READY' from") for word in UNUSUAL),
        (b"nonsense", "READING got 'READ_READY' from"),
        (b"undeclared", "READING got 'READ_READY' from"),
        (b"unknown", "Waiting <front "),
        (b"enter", "READING got 'READ_READY' from"),
        (b"timer", "WAITING got 'TIMEOUT' from OS"),
        (b"ask", "Waiting <front "),
        (b"history", "Waiting failed, and its crashed()"),
    ],
)
def test_a_mistake_in_a_receiver(word: bytes, logged: str) -> None:
    with Simulation(1) as sim:
        world = World(sim, Waiting, shout)
        good, bad = world.client(), world.client(word)
        sim.run(until=lambda: bad.reset_seen)
        [line] = world.logged
        assert line.startswith("Waiting ")
        assert logged in line
        assert bad.received == world.at_server == b""
        assert not good.reset_seen
        good.end()
        sim.run(until=lambda: good.ended)
        good.close()
        world.settle()


class FailingTransform:
    """Passes data on, but fails for some words."""

    def feed(self, data: bytes) -> bytes:
        """Pass the data on, or fail."""
        if b"text" in data:
            return "text"  # type: ignore[return-value]
        if data in UNUSUAL:
            raise_unusual(data)
        return mistake() if b"raise" in data else data

    def finish(self) -> bytes:
        """Add nothing."""
        return b""


class Filtered(Session):
    CONNECTING = State(initial=True)
    RELAYING = State()
    DONE = State(final=True)

    @CONNECTING.enter
    def connecting(self) -> None:
        self.connect_first()

    CONNECTING.goes(Event.CONNECTED, RELAYING)

    @RELAYING.enter
    def relaying(self) -> None:
        self.lend(upward=FailingTransform())

    RELAYING.goes(Event.EOS, DONE)


@pytest.mark.parametrize("word", [b"raise", *UNUSUAL, b"text"], ids=bytes.decode)
def test_a_mistake_in_a_transform(word: bytes) -> None:
    with Simulation(1) as sim:
        world = World(sim, Filtered, shout)
        good = other_conversation(world)
        bad = world.client(word)
        sim.run(until=lambda: bad.reset_seen)
        assert world.at_server == b"ok 1\n"
        assert "failed; its conversation is closed" in world.logged[-1]
        assert " got '" in world.logged[-1]
        good.send(b"ok 2\n")
        sim.run(until=lambda: good.received == b"OK 1\nOK 2\n")


class Careless(Splitter):
    """Fails at a request in key(), or at a reply in split()."""

    def key(self, request: bytes) -> Hashable:
        match request.split():
            case [b"key", b"raise"]:
                mistake()
            case [b"key", word] if word in UNUSUAL:
                raise_unusual(word)
            case [b"key", b"list"]:
                return [request]  # type: ignore[return-value]
            case [b"key", b"reject"]:
                return Reject("no")  # type: ignore[arg-type]
        return None

    @classmethod
    def split(cls, reply: bytes, options: object) -> Iterable[Part]:
        match reply.split():
            case [b"SPLIT", b"RAISE"]:
                mistake()
            case [b"SPLIT", word] if word.lower() in UNUSUAL:
                raise_unusual(word)
            case [b"SPLIT", b"NONE"]:
                return None  # type: ignore[return-value]
            case [b"SPLIT", b"TEXT"]:
                return iter("text")  # type: ignore[return-value]
            case [b"SPLIT", b"DATA"]:
                return iter([Part(None, "text")])  # type: ignore[arg-type]
        return super().split(reply, options)


@pytest.mark.parametrize("how", ["raise", *map(bytes.decode, UNUSUAL), "list", "reject"])
def test_a_mistake_in_key(how: str) -> None:
    with Simulation(1) as sim:
        world = World(sim, Careless, shout)
        good, bad = other_conversation(world), world.client(b"key %s\n" % how.encode())
        sim.run(until=lambda: bad.reset_seen)
        assert world.logged[-1].startswith("Careless <front ")
        assert " got '" in world.logged[-1]
        check_other(world, good)


@pytest.mark.parametrize("how", ["raise", *map(bytes.decode, UNUSUAL), "none", "text", "data"])
def test_a_mistake_in_split(how: str) -> None:
    """The clients of later replies are unknown then: all waiting clients are closed, unanswered."""
    with Simulation(1) as sim:
        world = World(sim, Careless, shout)
        good, bad = other_conversation(world), world.client(b"split %s\n" % how.encode())
        sim.run(until=lambda: bad.ended or bad.reset_seen)
        assert bad.received == b""
        bad.close()
        [line] = [line for line in world.logged if "failed" in line and " got '" in line]
        machine = "Careless <" if how == "data" else "connection @ SERVING got 'READ_READY' from"
        assert machine in line
        check_other(world, good, b"ok 1\nsplit %s\n" % how.encode())
