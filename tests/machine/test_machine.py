"""Machines, run on an engine whose clock the test sets."""

import gc
import random
import sys
import timeit
import weakref
from collections.abc import Callable, Hashable, Iterator

import pytest

from vcproxy.engine.engine import Engine
from vcproxy.engine.event import Event
from vcproxy.engine.log_function import Level
from vcproxy.engine.mutex import Mutex, current
from vcproxy.engine.sources.ticks import Ticks
from vcproxy.machine.machine import REMEMBERED, Machine
from vcproxy.machine.state import ANY, State
from vcproxy.machine.table import Unhandled


class Message:
    def __init__(self, text: str = "", name: str | None = None) -> None:
        self.text = text
        self.name = name


class Other:
    pass


class Logged(Machine):
    """A base without states that records what its machine does."""

    def __init__(self, engine: Engine, name: str = "") -> None:
        super().__init__(engine, Mutex(), name=name)
        self.log: list[str] = []

    def finished(self) -> None:
        self.log.append("finished")


class Relay(Logged):
    WAITING = State(initial=True, timeout="5s")
    RELAYING, DONE = State(timeout="1m"), State(final=True)
    BUSY = State(parent=RELAYING, timeout="10s")
    IDLE = State(parent=RELAYING)

    WAITING.goes(Event.TIMEOUT, DONE)

    @WAITING.on(Message, to=RELAYING)
    def received(self, message: Message) -> None:
        self.log.append(f"received {message.text}")

    @WAITING.on("again", to=WAITING)
    def again(self, data: object) -> None:
        self.log.append("again")

    @RELAYING.on(Message, "choose", to=(BUSY, DONE))
    def relayed(self, data: object) -> State | None:
        text = data.text if isinstance(data, Message) else str(data)
        self.log.append(f"relayed {text}")
        return {"busy": self.BUSY, "done": self.DONE, "wait": self.WAITING}.get(text)

    @RELAYING.on(Event.TIMEOUT, to=DONE)
    def too_long(self, state: State) -> None:
        self.log.append(f"too long in {state.name}")

    RELAYING.goes("up", RELAYING)
    RELAYING.goes("rest", IDLE)

    @BUSY.on(Event.TIMEOUT, to=IDLE)
    def expired(self, state: State) -> None:
        self.log.append(f"expired in {state.name}")

    @IDLE.on(ANY)
    def idled(self, key: object, data: object) -> None:
        self.log.append(f"idled {key!r} {data!r}")

    IDLE.goes("work", BUSY)

    @WAITING.enter
    def waiting(self) -> None:
        self.log.append("+WAITING")

    @WAITING.leave
    def waiting_left(self) -> None:
        self.log.append("-WAITING")

    @RELAYING.enter
    def relaying(self) -> None:
        self.log.append(f"+RELAYING @ {self.state.name}")

    @RELAYING.leave
    def relaying_left(self) -> None:
        self.log.append(f"-RELAYING @ {self.state.name}")

    @BUSY.enter
    def busy(self) -> None:
        self.log.append("+BUSY")

    @BUSY.leave
    def busy_left(self) -> None:
        self.log.append("-BUSY")


LOG: list[str] = []


@pytest.fixture
def engine() -> Iterator[Engine]:
    LOG.clear()

    def log(level: Level, text: str, error: Exception | None = None) -> None:
        LOG.append(f"{level}: {text}")

    engine = Engine("net", memory=1 << 20, random=random.Random(0), log=log)
    engine.clock(0.0)
    yield engine
    current.engine = None


def wait(engine: Engine, seconds: float) -> None:
    """Advance the time, with a turn at each deadline, as a driver does."""
    end = engine.now + seconds
    while True:
        due = engine.next_deadline()
        engine.clock(end if due is None else min(due, end))
        engine.run()
        while engine.queue:
            engine.run()
        if engine.now >= end:
            return


def started(engine: Engine, *keys: str, name: str = "") -> Relay:
    """A Relay that has received a Message, and then these keys."""
    machine = Relay(engine, name=name)
    machine.start()
    machine.handle_event(Message, Message())
    for key in keys:
        machine.handle_event("choose" if key in ("busy", "done", "wait") else key, key)
    machine.log.clear()
    return machine


def test_starting_enters_the_initial_state_once(engine: Engine) -> None:
    machine = Relay(engine)
    assert (machine.state, machine.log) == (Machine.CREATED, [])
    machine.start()
    assert machine.state is Relay.WAITING
    assert machine.log == ["+WAITING"]
    with pytest.raises(RuntimeError, match="<Relay @ WAITING> has been started already"):
        machine.start()


def test_nothing_is_received_before_the_start(engine: Engine) -> None:
    with pytest.raises(Unhandled, match="Relay @ CREATED: no receiver for Message"):
        Relay(engine).handle_event(Message, Message())


def test_a_machine_is_named_after_its_class_or_by_hand(engine: Engine) -> None:
    assert repr(Relay(engine)) == "<Relay @ CREATED>"
    assert repr(started(engine, name="GREETER-7")) == "<GREETER-7 @ RELAYING>"


def test_a_class_without_states_is_abstract(engine: Engine) -> None:
    with pytest.raises(TypeError, match="Logged declares no states"):
        Logged(engine)


def test_one_target_always_moves(engine: Engine) -> None:
    machine = Relay(engine)
    machine.start()
    machine.handle_event(Message, Message("hello"))
    assert machine.log == ["+WAITING", "received hello", "-WAITING", "+RELAYING @ RELAYING"]
    assert machine.state is Relay.RELAYING


def test_several_targets_are_chosen_from_and_none_stays(engine: Engine) -> None:
    machine = started(engine)
    machine.handle_event("choose", "nothing")
    assert (machine.state, machine.log) == (Relay.RELAYING, ["relayed nothing"])
    machine.handle_event(Message, Message("busy"))
    assert (machine.state, machine.log[1:]) == (Relay.BUSY, ["relayed busy", "+BUSY"])


def test_a_target_that_was_not_declared_is_an_error(engine: Engine) -> None:
    machine = started(engine)
    with pytest.raises(ValueError, match=r"@ RELAYING.*choose returned Relay\.WAITING.*BUSY, DONE"):
        machine.handle_event("choose", "wait")
    assert machine.state is Relay.RELAYING


@pytest.mark.parametrize("returned", [True, [], "DONE"])
def test_what_a_receiver_returns_is_a_state_or_none(engine: Engine, returned: object) -> None:
    class Odd(Machine):
        ONLY = State(initial=True)

        @ONLY.on("key")
        def receive(self, data: object) -> State | None:
            return returned  # type: ignore[return-value]

    machine = Odd(engine, Mutex())
    machine.start()
    with pytest.raises(ValueError, match="it declares no target"):
        machine.handle_event("key", None)


def test_a_transition_without_a_method_moves(engine: Engine) -> None:
    machine = started(engine, "rest")
    assert (machine.state, machine.log) == (Relay.IDLE, [])


def test_a_move_to_the_same_state_leaves_and_enters_it(engine: Engine) -> None:
    machine = Relay(engine)
    machine.start()
    machine.handle_event("again", None)
    assert machine.log == ["+WAITING", "again", "-WAITING", "+WAITING"]


def test_moves_run_up_to_the_common_ancestor_only(engine: Engine) -> None:
    machine = started(engine, "busy")
    machine.handle_event("rest", None)
    assert (machine.state, machine.log) == (Relay.IDLE, ["-BUSY"])
    machine.handle_event("work", None)
    assert (machine.state, machine.log) == (Relay.BUSY, ["-BUSY", "+BUSY"])


def test_going_to_a_parent_leaves_the_child_only(engine: Engine) -> None:
    machine = started(engine, "busy")
    machine.handle_event("up", None)
    assert (machine.state, machine.log) == (Relay.RELAYING, ["-BUSY"])


def test_leaving_runs_from_the_inside_out(engine: Engine) -> None:
    machine = started(engine, "busy")
    machine.handle_event("choose", "done")
    assert machine.log == ["relayed done", "-BUSY", "-RELAYING @ BUSY", "finished"]


def test_a_childs_catch_all_comes_before_its_parents_receivers(engine: Engine) -> None:
    machine = started(engine, "rest")
    machine.handle_event("choose", "done")
    machine.handle_event(Event.EOS, "vio")
    assert machine.log == ["idled 'choose' 'done'", "idled EOS 'vio'"]


def test_a_child_inherits_what_it_does_not_declare(engine: Engine) -> None:
    machine = started(engine, "busy")
    machine.handle_event("choose", "me")
    assert (machine.state, machine.log) == (Relay.BUSY, ["relayed me"])


def test_unhandled_names_machine_state_key_and_what_is_known(engine: Engine) -> None:
    machine = started(engine, "busy", name="GREETER-1")
    with pytest.raises(Unhandled) as caught:
        machine.handle_event(Other, Other())
    assert str(caught.value) == (
        "GREETER-1 @ BUSY: no receiver for Other (Other); it receives "
        "Message, choose, TIMEOUT, up, rest: declare one for it, or a catch-all (ANY)"
    )


def test_a_timeout_is_received_at_its_time(engine: Engine) -> None:
    machine = Relay(engine)
    machine.start()
    wait(engine, 4.9)
    assert machine.state is Relay.WAITING
    wait(engine, 0.2)
    assert (machine.state, machine.log[-1]) == (Relay.DONE, "finished")


def test_a_timeout_is_cancelled_on_leaving_its_state(engine: Engine) -> None:
    machine = started(engine)
    wait(engine, 6)
    assert (machine.state, machine.log) == (Relay.RELAYING, [])


def test_a_queued_timeout_is_cancelled_too(engine: Engine) -> None:
    machine = Relay(engine)
    machine.start()
    engine.clock(5.1)
    machine.handle_event("again", None)
    engine.run()
    assert machine.state is Relay.WAITING
    wait(engine, 4.9)
    assert machine.state is Relay.WAITING
    wait(engine, 0.2)
    assert machine.state is Relay.DONE


def test_the_timeout_of_a_state_that_was_left_is_ignored(engine: Engine) -> None:
    machine = started(engine)
    machine.handle_event(Event.TIMEOUT, Relay.WAITING)
    machine.handle_event(Event.TIMEOUT, None)
    assert (machine.state, machine.log) == (Relay.RELAYING, [])


def test_each_timeout_is_received_by_the_state_that_declares_it(engine: Engine) -> None:
    machine = started(engine, "busy")
    wait(engine, 11)
    assert (machine.state, machine.log) == (Relay.IDLE, ["expired in BUSY", "-BUSY"])
    machine.log.clear()
    wait(engine, 50)  # IDLE has a catch-all, and RELAYING's clock has run since it was entered
    assert machine.log == ["too long in RELAYING", "-RELAYING @ IDLE", "finished"]


def test_a_parents_timeout_is_not_received_by_a_child(engine: Engine) -> None:
    machine = started(engine)
    wait(engine, 55)
    machine.handle_event("choose", "busy")
    wait(engine, 6)
    assert machine.log[-4:] == ["too long in RELAYING", "-BUSY", "-RELAYING @ BUSY", "finished"]


def test_a_catch_all_receives_the_timeout_of_its_state(engine: Engine) -> None:
    class Waiting(Logged):
        HERE, DONE = State(initial=True, timeout="1s"), State(final=True)

        @HERE.on(ANY, to=DONE)
        def any(self, key: object, data: object) -> None:
            self.log.append(f"{key!r} {data!r}")

    machine = Waiting(engine)
    machine.start()
    wait(engine, 2)
    assert machine.log[0].startswith("TIMEOUT test_a_catch_all")
    assert machine.log[1:] == ["finished"]


def test_a_final_state_ignores_further_events(engine: Engine) -> None:
    machine = started(engine, "done")
    machine.handle_event(Message, Message())
    machine.handle_event(Event.EOS, None)
    assert (machine.state, machine.log) == (Relay.DONE, [])


def test_an_abandoned_machine_ends_in_its_state(engine: Engine) -> None:
    relay = Relay(engine)
    relay.start()
    state = relay.state
    relay.abandon()
    assert engine.next_deadline() is None
    relay.handle_event(Message, Message())
    relay.handle_event(Event.READ_READY, None)
    assert relay.state is state
    assert relay.log[-1] == "finished"


@pytest.mark.parametrize("abandoned", [False, True])
def test_the_end_closes_its_sources_and_no_others(engine: Engine, abandoned: bool) -> None:
    one, other = started(engine), started(engine)
    other.mutex = one.mutex
    with one.mutex.hold(engine):
        for machine in (one, other):
            Ticks(machine, "fast", 1.0)
            Ticks(machine, "slow", 60.0).disable()
        if abandoned:
            one.abandon()
        else:
            one.handle_event("choose", "done")
    assert one.log[-1] == "finished"
    assert [source.cont for source in engine.sources.values()] == [other, other]


def test_a_final_state_may_receive(engine: Engine) -> None:
    class Late(Logged):
        BEGIN, DONE = State(initial=True), State(final=True)
        BEGIN.goes("end", DONE)

        @DONE.on(Message)
        def late(self, message: Message) -> None:
            self.log.append(f"late {message.text}")

    machine = Late(engine)
    machine.start()
    machine.handle_event("end", None)
    machine.handle_event(Message, Message("post"))
    machine.handle_event("end", None)
    assert machine.log == ["finished", "late post"]


def test_subclasses_override_receivers_and_hooks(engine: Engine) -> None:
    class Polite(Relay):
        def received(self, message: Message) -> None:
            super().received(message)
            self.log.append("thank you")

        def waiting_left(self) -> None:
            self.log.append("bye WAITING")

    machine = Polite(engine)
    machine.start()
    machine.handle_event(Message, Message("hello"))
    assert machine.log[1:] == ["received hello", "thank you", "bye WAITING", "+RELAYING @ RELAYING"]
    assert repr(machine) == "<Polite @ RELAYING>"
    assert Polite.states == Relay.states


def test_history_names_state_key_and_source(engine: Engine) -> None:
    machine = Relay(engine, name="GREETER-1")
    machine.start()
    machine.handle_event(Message, Message(name="CLIENT-3"))
    machine.handle_event("rest", None)
    machine.handle_event("M0", Message(name="GREETER-1"))
    machine.handle_event(Event.EOS, Message(name="vio"))
    wait(engine, 61)
    assert list(map(str, machine.history())) == [
        "GREETER-1 @ WAITING got 'Message' from CLIENT-3",
        "GREETER-1 @ RELAYING got 'rest' from OS",
        "GREETER-1 @ IDLE got 'M0' from SELF",
        "GREETER-1 @ IDLE got 'EOS' from OS",
        "GREETER-1 @ IDLE got 'TIMEOUT' from OS",
    ]
    first = next(machine.history())
    assert first == ("GREETER-1", Relay.WAITING, Message, "CLIENT-3")


@pytest.mark.parametrize("count", [0, 1, 8, 9, 63, 64, 65, 127, 128, 129, 1000])
def test_history_keeps_the_last_events_oldest_first(engine: Engine, count: int) -> None:
    machine = started(engine, "rest")
    for number in range(count):
        machine.handle_event(f"M{number}", None)
    keys = [Message, "rest", *(f"M{number}" for number in range(count))]
    assert [received.key for received in machine.history()] == keys[-REMEMBERED:]


def test_history_keeps_no_data_alive(engine: Engine) -> None:
    class Named(Other):
        def name(self) -> str:
            return "a bound method holds its object"

    machine = started(engine, "rest")
    message, named = Message(name="CLIENT"), Named()
    machine.log = []
    references: list[weakref.ref[object]] = [weakref.ref(message), weakref.ref(named)]
    machine.handle_event(Message, message)
    machine.handle_event(Named, named)
    machine.log.clear()
    del message, named
    gc.collect()
    assert [reference() for reference in references] == [None, None]


def test_an_exception_logs_the_history(engine: Engine) -> None:
    machine = started(engine, name="GREETER-1")
    engine.schedule(machine, Other, Other())
    wait(engine, 0)
    assert LOG == [
        "error: Relay <GREETER-1 @ RELAYING> failed; its conversation is closed\n"
        "GREETER-1 @ WAITING got 'Message' from OS\n"
        "GREETER-1 @ RELAYING got 'Other' from OS"
    ]


class Lean(Machine):
    __slots__ = ()
    ONLY = State(initial=True)

    @ONLY.on(Event.READ_READY)
    def ready(self, vio: object) -> None: ...

    def plain(self, key: Hashable, data: object) -> None: ...


def test_an_idle_machine_is_small(engine: Engine) -> None:
    machine = Lean(engine, Mutex())
    machine.start()
    assert not hasattr(machine, "__dict__")
    assert sum(map(sys.getsizeof, (machine, machine._ring, machine._timers))) < 300


def test_a_dispatch_costs_a_few_plain_calls(engine: Engine) -> None:
    machine = Lean(engine, Mutex())
    machine.start()

    def cost(call: Callable[[Hashable, object], None]) -> float:
        timer = timeit.Timer("call(key, None)", globals={"call": call, "key": Event.READ_READY})
        return min(timer.repeat(repeat=20, number=2000))

    # The goal is 4, and 3.7 to 4.2 was measured; twice that can only be a mistake.
    assert cost(machine.handle_event) / cost(machine.plain) < 8
