"""every: methods that are called at an interval while their object lives."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from vcproxy.config.loader import load
from vcproxy.config.values import Duration
from vcproxy.engine.event import Event
from vcproxy.http.filters import Filter
from vcproxy.http.message.messages import Request
from vcproxy.http.proxy.connection import HttpProxy
from vcproxy.http.proxy.transaction import Transaction
from vcproxy.machine.every import every
from vcproxy.machine.staged import Stage, StagedMessage, StageMachine
from vcproxy.machine.state import State
from vcproxy.messages.splitter import Splitter
from vcproxy.messages.validator import Validator
from vcproxy.mirror.mirroring import Mirroring
from vcproxy.sessions.forwarder import Forwarder
from vcproxy.sessions.message_reader import Message
from vcproxy.sessions.program import Program
from vcproxy.sessions.session import Session
from vcproxy.sessions.staged_program import StagedProgram
from vcproxy.testing.configured import ConfiguredProxy
from vcproxy.testing.http import SimulatedHttp
from vcproxy.testing.proxy import SimulatedProxy


class Beating(Session):
    """Sends the time every two seconds, until a line comes; "fail" makes the next call fail."""

    READING = State(initial=True)
    CLOSED = State(final=True)
    READING.goes(Event.EOS, CLOSED)
    broken = False

    @READING.on(Message, to=(CLOSED,))
    def asked(self, message: Message) -> State | None:
        self.broken = message.data == b"fail"
        return None if self.broken else self.CLOSED

    @every("2s")
    def beat(self) -> None:
        if self.broken:
            raise RuntimeError("no")
        self.answer(b"%.1f\n" % self.now)


class Louder(Beating):
    """Another answer, without another declaration."""

    def beat(self) -> None:
        self.answer(b"!\n")


def test_a_method_of_a_session_is_called_until_the_session_ends() -> None:
    with SimulatedProxy(Beating) as proxy:
        client = proxy.client()
        proxy.elapse(5)
        assert client.received == b"2.0\n4.0\n"
        (source,) = proxy.engine.sources.values()
        assert source.name == f"{proxy.sessions[0].name} beat"
        assert source.detail == "every 2s"
        assert "beat' from SELF" in str(list(proxy.sessions[0].history())[-1])
        client.send(b"enough\n")
        proxy.run()  # it would not end with a call that is due
        assert client.received == b"2.0\n4.0\n"
        assert client.ended
        assert not proxy.engine.sources


def test_a_subclass_overrides_it() -> None:
    with SimulatedProxy(Louder) as proxy:
        client = proxy.client()
        proxy.elapse(3)
        assert client.received == b"!\n"


def test_an_exception_ends_the_session_and_no_other() -> None:
    with SimulatedProxy(Beating) as proxy:
        one, two = proxy.client(), proxy.client()
        proxy.elapse(1)
        one.send(b"fail\n")
        with pytest.raises(RuntimeError, match="no"):
            proxy.elapse(2)
        proxy.elapse(3)
        assert one.reset_seen
        assert two.received == b"2.0\n4.0\n"
        assert len(proxy.engine.sources) == 1


def test_missed_calls_are_made_once_and_the_grid_stays() -> None:
    with SimulatedProxy(Beating) as proxy:
        client = proxy.client()
        proxy.elapse(1)
        proxy.sim.suspend(4.5)
        proxy.elapse(8)
        assert client.received == b"6.5\n8.0\n"  # all timers were postponed by a second


@pytest.mark.parametrize("base", [Forwarder, Validator, Splitter, HttpProxy, Mirroring])
def test_every_base_class_of_sessions_has_it(base: type[Session]) -> None:
    class Beats(base):  # type: ignore[misc, valid-type]
        @every("2s")
        def beat(self) -> None:
            self.log(f"{self.now:.1f} s", "debug")

    with SimulatedProxy(Beats) as proxy:
        client = proxy.client()
        proxy.elapse(5)
        assert [line.rpartition(": ")[2] for line in proxy.log] == ["2.0 s", "4.0 s"]
        client.close()
        proxy.elapse(1)
        for server in proxy.peers():
            server.close()
        proxy.elapse(1)
        assert not proxy.engine.sources


@dataclass(frozen=True)
class Pace:
    refresh: Duration = 10.0


class Board(Program):
    """Prints, at intervals of its options."""

    Options = Pace

    @every(option="refresh")
    def refresh(self) -> None:
        assert self.mutex.held
        self.write(f"{self.now:.0f}")

    def handle_event(self, key: Hashable, data: object) -> None: ...


@pytest.mark.parametrize(
    ("interval_s", "printed"), [(10.0, ["10", "20"]), (12.0, ["12", "24"]), (0.0, [])]
)
def test_the_interval_of_a_program_may_be_an_option(interval_s: float, printed: list[str]) -> None:
    with SimulatedProxy(Board, options=Pace(interval_s)) as proxy:
        proxy.elapse(25)
        assert proxy.printed == printed
        proxy.programs.stop_others(())
        proxy.run()
        assert proxy.printed == printed


def test_an_option_that_is_no_duration_is_a_mistake() -> None:
    options = Pace("soon")  # type: ignore[arg-type]
    why = "the option refresh is 'soon': it must be a Duration"
    with SimulatedProxy(Board, options=options) as proxy, pytest.raises(TypeError, match=why):
        proxy.elapse(1)


class Bell(StageMachine):
    """Sends itself a message every second."""

    MAIN = Stage(initial=True)

    @every("1s")
    def ring(self) -> None:
        self.send(self, "M0")

    @MAIN.on("M0", "M1")
    def rang(self, _: StagedMessage) -> None: ...


class Belfry(StagedProgram):
    """Has a bell, and sends it a message every three seconds."""

    def make(self) -> Iterator[StageMachine]:
        self.bell = Bell(self.queue)
        yield self.bell

    @every("3s")
    def strike(self) -> None:
        self.bell.send(self.bell, "M1")


def test_what_staged_machines_send_is_delivered_at_once() -> None:
    with SimulatedProxy(Belfry, servers=()) as proxy:
        proxy.elapse(3.5)
        assert proxy.printed == [
            f"BELL-1 @ MAIN got '{tag}' from SELF" for tag in ("M0", "M0", "M1", "M0")
        ]


class Prices:
    """Shared by all sessions of a service."""

    def __init__(self) -> None:
        self.version = 0

    @every("1m")
    def refresh(self) -> None:
        self.version += 1


class Shop(Session):
    """Answers each line with the version of the prices."""

    READING = State(initial=True)
    CLOSED = State(final=True)
    READING.goes(Event.EOS, CLOSED)

    @READING.on(Message)
    def asked(self, _: Message) -> None:
        self.answer(b"%d\n" % self.service.share(Prices).version)


def test_a_shared_object_works_until_the_last_session_of_its_service_has_ended() -> None:
    with SimulatedProxy(Shop) as proxy:
        client = proxy.client()
        client.send(b"a\n")
        proxy.elapse(130)
        client.send(b"b\n")
        proxy.elapse(1)
        assert client.received == b"0\n2\n"
        proxy.service.draining = True  # a reload has made another one
        proxy.elapse(60)
        client.send(b"c\n")
        proxy.elapse(1)
        assert client.received == b"0\n2\n3\n"
        client.close()
        proxy.run()
        assert not proxy.engine.sources
        assert proxy.service.share(Prices).version == 3


class Tokens(Filter):
    """Refreshes what it accepts."""

    def __init__(self, options: Pace) -> None:
        super().__init__(options)
        self.generation = 0

    @every(option="refresh")
    def refresh(self) -> None:
        self.generation += 1
        self.log(f"generation {self.generation}", "debug")

    def request_head(self, tx: Transaction) -> None:
        tx.request.fields["X-Generation"] = str(self.generation)


def test_a_filter_works_from_the_first_client_on() -> None:
    with SimulatedHttp(Tokens(Pace(5.0))) as proxy:
        proxy.elapse(60)
        for seconds in (0, 7, 60):
            proxy.elapse(seconds)
            proxy.send(Request("GET", "/", host="shop"))
        assert [each.fields["X-Generation"] for each in proxy.received()] == ["0", "1", "13"]
        assert "debug: proxy: generation 13" in proxy.log


def test_mistakes_are_reported_at_the_declaration() -> None:
    def declared(make: Callable[[], object], why: str) -> None:
        with pytest.raises(TypeError, match=why) as caught:
            make()
        assert str(caught.value).startswith(f"{__file__}:")

    async def later(self: object) -> None: ...

    def with_more(self: object, more: object) -> None: ...

    declared(lambda: every(), 'write an interval, as "5s", or option="its name"')
    declared(lambda: every("5s", option="a"), "write an interval")
    declared(lambda: every("5"), '"5"')
    declared(lambda: every("0s"), '"0s" is too short')
    declared(lambda: every("5s")(later), "later is a generator or async")  # type: ignore[type-var]
    declared(lambda: every("5s")(with_more), "without arguments")  # type: ignore[type-var]
    declared(lambda: every("5s")(print), "print is not a method")


RELOADED = """
from vcproxy.api import Event, Message, Session, State, every


class Prices:
    @every("10s")
    def refresh(self):
        pass


class Shop(Session):
    READING, CLOSED = State(initial=True), State(final=True)
    READING.goes(Event.EOS, CLOSED)
    needs_upstream = False

    @READING.on(Message)
    def asked(self, message):
        self.service.share(Prices)
"""


def test_a_reload_ends_the_work_of_the_service_that_it_replaces(tmp_path: Path) -> None:
    (tmp_path / "shop.py").write_text(RELOADED)
    file = tmp_path / "shop.toml"
    file.write_text('[[listener]]\nname = "shop"\nbind = "tcp://proxy:1"\nplugin = "shop.py"\n')
    with ConfiguredProxy(load(file)) as proxy:
        one = proxy.client("shop")
        one.send(b"a\n")
        proxy.sim.elapse(1)
        first = list(proxy.engine.sources.values())
        proxy.reload(load(file))
        two = proxy.client("shop")
        two.send(b"a\n")
        proxy.sim.elapse(30)
        assert [each.name for each in proxy.engine.sources.values()] == ["shop refresh"] * 2
        one.close()
        proxy.sim.elapse(30)
        assert first[0] not in proxy.engine.sources.values()
        assert [each.name for each in proxy.engine.sources.values()] == ["shop refresh"]
        two.close()
        proxy.sim.elapse(1)
