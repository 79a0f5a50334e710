"""Staged machines: tags, the queue, handles and pools."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vcproxy.drivers.sim import Simulation
from vcproxy.engine.event import Event
from vcproxy.engine.mutex import Mutex
from vcproxy.machine.pool import MachinePool
from vcproxy.machine.staged import (
    STRETCH,
    Handle,
    MessageQueue,
    MessageQueueFull,
    Stage,
    StagedMessage,
    StageMachine,
)
from vcproxy.machine.state import label
from vcproxy.machine.table import Unhandled


class Replier(StageMachine):
    """Sends a message back to its sender, as often as the message's number."""

    READY = Stage(initial=True)
    PAUSED = Stage()
    STOPPED = Stage(final=True)

    READY.goes("M1", PAUSED)
    PAUSED.goes("M1", READY)
    READY.goes("S0", STOPPED)

    @READY.on("M0", "D0")
    def reply(self, message: StagedMessage) -> None:
        remaining = message.data
        if isinstance(remaining, int) and remaining:
            assert message.source is not None
            self.send(message.source, "M0", remaining - 1)

    @READY.on("T0", "T1")
    def fired(self, message: StagedMessage) -> None:
        self.trace(f"{message.name} fired")

    @PAUSED.leave
    def resumed(self) -> None:
        self.trace("resumed")


class Harness:
    """A queue with repliers, on a simulated engine."""

    def __init__(self, **options: Any) -> None:
        self.sim = Simulation(seed=1)
        self.engine = self.sim.driver().engine
        self.lines: list[str] = []
        self.queue = MessageQueue(self.engine, Mutex(), write=self.lines.append, **options)

    def replier(self) -> Replier:
        replier = Replier(self.queue)
        replier.start()
        return replier


# -- tags ----------------------------------------------------------------------------------------


def test_machines_are_numbered_by_kind() -> None:
    class Ball(Replier):
        pass

    harness = Harness()
    names = [
        machine.name for machine in (harness.replier(), Ball(harness.queue), harness.replier())
    ]
    assert names == ["REPLIER-1", "BALL-1", "REPLIER-2"]
    assert Replier(Harness().queue).name == "REPLIER-1"


@pytest.mark.parametrize(
    ("event", "tag"),
    [
        (Event.READ_READY, "D0"),
        (Event.READ_COMPLETE, "D0"),
        (Event.ACCEPT, "D0"),
        (Event.WRITE_READY, "D1"),
        (Event.WRITE_COMPLETE, "D1"),
        (Event.CONNECTED, "D1"),
        (Event.EOS, "D2"),
        (Event.ERROR, "D2"),
        ("S15", "S15"),
    ],
)
def test_events_of_the_system_have_tags(event: object, tag: str) -> None:
    class Taker(StageMachine):
        HERE = Stage(initial=True)

        @HERE.on("D0", "D1", "D2", "S15")
        def took(self, message: StagedMessage) -> None:
            assert message == StagedMessage(None, "data")

    harness = Harness()
    machine = Taker(harness.queue)
    machine.start()
    machine.handle_event(event, "data")
    assert harness.lines == [f"TAKER-1 @ HERE got '{tag}' from OS"]
    assert str(*machine.history()) == harness.lines[0]


@pytest.mark.parametrize("key", ["M5", "D2", Event.ACTIVE_TIMEOUT])
def test_a_tag_without_a_reflex_is_an_error(key: str | Event) -> None:
    replier = Harness().replier()
    with pytest.raises(Unhandled, match=rf"^REPLIER-1 @ READY : no reflex for '{label(key)}'"):
        replier.handle_event(key, None)


@pytest.mark.parametrize("key", ["M16", "X0", "M", "m0", "M01", Event.EOS, StagedMessage])
def test_a_key_that_is_no_tag_is_refused_with_its_place(key: object) -> None:
    with pytest.raises(TypeError, match=r"test_staged\.py:\d+: .*HERE on .*: not a tag: write one"):

        class Wrong(StageMachine):
            HERE, THERE = Stage(initial=True), Stage()
            HERE.goes(key, THERE)
            THERE.goes("M0", HERE)


def test_stages_are_flat() -> None:
    with pytest.raises(TypeError, match=r"Wrong\.INNER has a parent, and stages are flat"):

        class Wrong(StageMachine):
            OUTER = Stage()
            INNER = Stage(initial=True, parent=OUTER)
            OUTER.goes("M0", INNER)


def test_a_reflex_is_declared_once() -> None:
    with pytest.raises(TypeError, match=r"HERE on M0: already receives it at .*test_staged\.py"):

        class Wrong(StageMachine):
            HERE = Stage(initial=True)
            HERE.goes("M0", HERE)
            HERE.goes("M0", HERE)


def test_a_machine_starts_once_and_has_stages() -> None:
    harness = Harness()
    with pytest.raises(RuntimeError, match="REPLIER-1 @ READY> has been started already"):
        harness.replier().start()
    with pytest.raises(TypeError, match="StageMachine declares no states"):
        StageMachine(harness.queue)


# -- the queue -----------------------------------------------------------------------------------


def test_all_consequences_come_before_the_next_event() -> None:
    harness = Harness()
    one, two = harness.replier(), harness.replier()
    one.send(two, "M0", 2)
    one.handle_event("T0", None)
    two.handle_event("T1", None)
    assert harness.lines == [
        "REPLIER-2 @ READY got 'M0' from REPLIER-1",
        "REPLIER-1 @ READY got 'T0' from OS",
        "OS fired",
        "REPLIER-1 @ READY got 'M0' from REPLIER-2",
        "REPLIER-2 @ READY got 'M0' from REPLIER-1",
        "REPLIER-2 @ READY got 'T1' from OS",
        "OS fired",
    ]


def test_an_endless_exchange_lets_others_run() -> None:
    harness = Harness()
    one = harness.replier()
    one.send(one, "M0", 3 * STRETCH)
    with harness.queue.mutex.hold(harness.engine):
        harness.queue.drain()
    assert len(harness.lines) == STRETCH
    harness.sim.run()
    assert len(harness.lines) == 3 * STRETCH + 1


def test_a_full_queue_fails_and_names_sender_and_receiver() -> None:
    harness = Harness()
    one, two = harness.replier(), harness.replier()
    for _ in range(32):
        one.send(two, "M0")
    with pytest.raises(
        MessageQueueFull, match="REPLIER-1 sends M1 to REPLIER-2, and 32 messages are queued"
    ):
        one.send(two, "M1")


@given(st.sampled_from(["drop_newest", "drop_oldest"]), st.integers(1, 5), st.integers(0, 9))
def test_a_full_queue_may_drop(policy: str, capacity: int, sent: int) -> None:
    harness = Harness(capacity=capacity, overflow=policy)
    repliers = [harness.replier() for _ in range(sent)]
    for replier in repliers:
        replier.send(replier, "M0")
    harness.queue.drain()
    kept = repliers[-capacity:] if policy == "drop_oldest" else repliers[:capacity]
    assert harness.lines == [f"{replier.name} @ READY got 'M0' from SELF" for replier in kept]
    assert harness.queue.dropped == sent - len(kept)


def test_a_stopped_machine_ignores_messages() -> None:
    harness = Harness()
    replier = harness.replier()
    replier.handle_event("M1", None)
    replier.handle_event("M1", None)
    assert harness.lines[-1] == "resumed"
    replier.handle_event("S0", None)
    assert replier.state is Replier.STOPPED


def test_an_exception_logs_the_history_of_the_machine_that_failed() -> None:
    harness = Harness()
    one, two = harness.replier(), harness.replier()
    one.send(two, "M9")
    with pytest.raises(Unhandled, match="REPLIER-2 @ READY : no reflex for 'M9'") as reply:
        harness.queue.drain()
    assert one.crashed(reply.value) == "REPLIER-2 @ READY got 'M9' from REPLIER-1"


def test_nothing_is_delivered_once_the_conversation_has_ended() -> None:
    harness = Harness()
    one = harness.replier()
    one.send(one, "M0")
    harness.queue.mutex.ended = True
    harness.queue.drain()
    assert harness.lines == []


# -- clocks --------------------------------------------------------------------------------------


def test_a_timer_fires_once_and_can_be_restarted_or_stopped() -> None:
    harness = Harness()
    replier = harness.replier()
    with harness.queue.mutex.hold(harness.engine):
        replier.arm("T0", 1)
        replier.arm("T0", 3)
        replier.arm("T1", 2)
        replier.disarm("T1")
        replier.disarm("T1")
    harness.sim.run()
    assert harness.sim.now == 3.0
    assert harness.lines == ["REPLIER-1 @ READY got 'T0' from OS", "OS fired"]


# -- lives and pools -----------------------------------------------------------------------------


def taken(pool: MachinePool) -> Handle:
    life = pool.take()
    assert life is not None
    return life


def test_last_in_first_out() -> None:
    harness, pool = Harness(), MachinePool()
    repliers = [harness.replier() for _ in range(3)]
    for replier in repliers:
        pool.put(replier)
    assert len(pool) == 3
    assert [taken(pool).machine for _ in repliers] == repliers[::-1]
    assert pool.take() is None


def test_a_message_to_a_stale_handle_is_dropped_and_counted() -> None:
    harness, pool = Harness(), MachinePool()
    one, two = harness.replier(), harness.replier()
    pool.put(two)
    former = taken(pool)
    one.send(former, "M0", "for the first customer")
    pool.put(two)
    present = taken(pool)
    assert (former.generation, present.generation) == (1, 2)
    assert former.stale
    assert not present.stale
    one.send(present, "M0", "for the second")
    one.send(former, "M0", "too late")
    harness.queue.drain()
    assert harness.lines == ["REPLIER-2 @ READY got 'M0' from REPLIER-1"]
    assert harness.queue.stale == 2


def test_a_reply_goes_to_the_handle_that_sent_the_request() -> None:
    harness, pool = Harness(), MachinePool()
    asker, answerer = harness.replier(), harness.replier()
    asker.send(answerer, "M0", 1)
    pool.put(asker)
    harness.queue.drain()
    assert harness.queue.stale == 1


def test_a_timer_is_stopped_when_the_handle_becomes_stale() -> None:
    harness, pool = Harness(), MachinePool()
    replier = harness.replier()
    with harness.queue.mutex.hold(harness.engine):
        replier.arm("T0", 1)
        pool.put(replier)
    harness.sim.run()
    assert harness.lines == []


def test_putting_a_machine_back_twice_is_an_error() -> None:
    harness, pool = Harness(), MachinePool()
    replier = harness.replier()
    pool.put(replier)
    with pytest.raises(ValueError, match="REPLIER-1 @ READY> is in the pool already"):
        pool.put(replier)
