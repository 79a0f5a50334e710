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


class Player(StageMachine):
    """Sends a message back to its sender, as often as the message's number."""

    READY = Stage(initial=True)
    TIRED = Stage()
    OUT = Stage(final=True)

    READY.goes("M1", TIRED)
    TIRED.goes("M1", READY)
    READY.goes("S0", OUT)

    @READY.on("M0", "D0")
    def caught(self, message: StagedMessage) -> None:
        throws = message.data
        if isinstance(throws, int) and throws:
            assert message.source is not None
            self.send(message.source, "M0", throws - 1)

    @READY.on("T0", "T1")
    def rang(self, message: StagedMessage) -> None:
        self.trace(f"{message.name} rang")

    @TIRED.leave
    def awake(self) -> None:
        self.trace("awake")


class Ground:
    """A queue with players, on a simulated engine."""

    def __init__(self, **options: Any) -> None:
        self.sim = Simulation(seed=1)
        self.engine = self.sim.driver().engine
        self.lines: list[str] = []
        self.queue = MessageQueue(self.engine, Mutex(), write=self.lines.append, **options)

    def player(self) -> Player:
        player = Player(self.queue)
        player.start()
        return player


# -- tags ----------------------------------------------------------------------------------------


def test_machines_are_numbered_by_kind() -> None:
    class Ball(Player):
        pass

    ground = Ground()
    names = [machine.name for machine in (ground.player(), Ball(ground.queue), ground.player())]
    assert names == ["PLAYER-1", "BALL-1", "PLAYER-2"]
    assert Player(Ground().queue).name == "PLAYER-1"


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

    ground = Ground()
    machine = Taker(ground.queue)
    machine.start()
    machine.handle_event(event, "data")
    assert ground.lines == [f"TAKER-1 @ HERE got '{tag}' from OS"]
    assert str(*machine.history()) == ground.lines[0]


@pytest.mark.parametrize("key", ["M5", "D2", Event.ACTIVE_TIMEOUT])
def test_a_tag_without_a_reflex_is_an_error(key: str | Event) -> None:
    player = Ground().player()
    with pytest.raises(Unhandled, match=rf"^PLAYER-1 @ READY : no reflex for '{label(key)}'"):
        player.handle_event(key, None)


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
    ground = Ground()
    with pytest.raises(RuntimeError, match="PLAYER-1 @ READY> has been started already"):
        ground.player().start()
    with pytest.raises(TypeError, match="StageMachine declares no states"):
        StageMachine(ground.queue)


# -- the queue -----------------------------------------------------------------------------------


def test_all_consequences_come_before_the_next_event() -> None:
    ground = Ground()
    one, two = ground.player(), ground.player()
    one.send(two, "M0", 2)
    one.handle_event("T0", None)
    two.handle_event("T1", None)
    assert ground.lines == [
        "PLAYER-2 @ READY got 'M0' from PLAYER-1",
        "PLAYER-1 @ READY got 'T0' from OS",
        "OS rang",
        "PLAYER-1 @ READY got 'M0' from PLAYER-2",
        "PLAYER-2 @ READY got 'M0' from PLAYER-1",
        "PLAYER-2 @ READY got 'T1' from OS",
        "OS rang",
    ]


def test_an_endless_exchange_lets_others_run() -> None:
    ground = Ground()
    one = ground.player()
    one.send(one, "M0", 3 * STRETCH)
    with ground.queue.mutex.hold(ground.engine):
        ground.queue.drain()
    assert len(ground.lines) == STRETCH
    ground.sim.run()
    assert len(ground.lines) == 3 * STRETCH + 1


def test_a_full_queue_fails_and_names_sender_and_receiver() -> None:
    ground = Ground()
    one, two = ground.player(), ground.player()
    for _ in range(32):
        one.send(two, "M0")
    with pytest.raises(
        MessageQueueFull, match="PLAYER-1 sends M1 to PLAYER-2, and 32 messages are queued"
    ):
        one.send(two, "M1")


@given(st.sampled_from(["drop_newest", "drop_oldest"]), st.integers(1, 5), st.integers(0, 9))
def test_a_full_queue_may_drop(policy: str, capacity: int, sent: int) -> None:
    ground = Ground(capacity=capacity, overflow=policy)
    players = [ground.player() for _ in range(sent)]
    for player in players:
        player.send(player, "M0")
    ground.queue.drain()
    kept = players[-capacity:] if policy == "drop_oldest" else players[:capacity]
    assert ground.lines == [f"{player.name} @ READY got 'M0' from SELF" for player in kept]
    assert ground.queue.dropped == sent - len(kept)


def test_a_stopped_machine_ignores_messages() -> None:
    ground = Ground()
    player = ground.player()
    player.handle_event("M1", None)
    player.handle_event("M1", None)
    assert ground.lines[-1] == "awake"
    player.handle_event("S0", None)
    assert player.state is Player.OUT


def test_an_exception_logs_the_history_of_the_machine_that_failed() -> None:
    ground = Ground()
    one, two = ground.player(), ground.player()
    one.send(two, "M9")
    with pytest.raises(Unhandled, match="PLAYER-2 @ READY : no reflex for 'M9'") as caught:
        ground.queue.drain()
    assert one.crashed(caught.value) == "PLAYER-2 @ READY got 'M9' from PLAYER-1"


def test_nothing_is_delivered_once_the_conversation_has_ended() -> None:
    ground = Ground()
    one = ground.player()
    one.send(one, "M0")
    ground.queue.mutex.ended = True
    ground.queue.drain()
    assert ground.lines == []


# -- clocks --------------------------------------------------------------------------------------


def test_a_timer_fires_once_and_can_be_restarted_or_stopped() -> None:
    ground = Ground()
    player = ground.player()
    with ground.queue.mutex.hold(ground.engine):
        player.arm("T0", 1)
        player.arm("T0", 3)
        player.arm("T1", 2)
        player.disarm("T1")
        player.disarm("T1")
    ground.sim.run()
    assert ground.sim.now == 3.0
    assert ground.lines == ["PLAYER-1 @ READY got 'T0' from OS", "OS rang"]


# -- lives and pools -----------------------------------------------------------------------------


def taken(pool: MachinePool) -> Handle:
    life = pool.take()
    assert life is not None
    return life


def test_last_in_first_out() -> None:
    ground, pool = Ground(), MachinePool()
    players = [ground.player() for _ in range(3)]
    for player in players:
        pool.put(player)
    assert len(pool) == 3
    assert [taken(pool).machine for _ in players] == players[::-1]
    assert pool.take() is None


def test_a_message_to_a_stale_handle_is_dropped_and_counted() -> None:
    ground, pool = Ground(), MachinePool()
    one, two = ground.player(), ground.player()
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
    ground.queue.drain()
    assert ground.lines == ["PLAYER-2 @ READY got 'M0' from PLAYER-1"]
    assert ground.queue.stale == 2


def test_a_reply_goes_to_the_handle_that_sent_the_request() -> None:
    ground, pool = Ground(), MachinePool()
    asker, answerer = ground.player(), ground.player()
    asker.send(answerer, "M0", 1)
    pool.put(asker)
    ground.queue.drain()
    assert ground.queue.stale == 1


def test_a_timer_is_stopped_when_the_handle_becomes_stale() -> None:
    ground, pool = Ground(), MachinePool()
    player = ground.player()
    with ground.queue.mutex.hold(ground.engine):
        player.arm("T0", 1)
        pool.put(player)
    ground.sim.run()
    assert ground.lines == []


def test_putting_a_machine_back_twice_is_an_error() -> None:
    ground, pool = Ground(), MachinePool()
    player = ground.player()
    pool.put(player)
    with pytest.raises(ValueError, match="PLAYER-1 @ READY> is in the pool already"):
        pool.put(player)
