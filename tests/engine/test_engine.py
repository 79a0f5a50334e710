"""Engine: turns, calls, crashes, the memory budget, and conversations across engines."""

import sys
from functools import partial

import pytest

from vcproxy.engine.blocks import SLAB
from vcproxy.engine.calls import Called
from vcproxy.engine.commands import Call, CancelCall
from vcproxy.engine.event import Event
from vcproxy.engine.listener import Listener
from vcproxy.engine.pipe import pipe

from .world import EventRecorder, World


@pytest.fixture
def world() -> World:
    return World()


class TestTurns:
    def test_a_pass_runs_only_what_was_queued_when_it_began(self, world: World) -> None:
        recorder = EventRecorder(world.engine)
        recorder.on["again"] = lambda: world.engine.schedule(recorder, "again", None)
        world.engine.schedule(recorder, "again", None)
        for turns in range(1, 5):
            world.turn()
            assert recorder.events == ["again"] * turns

    def test_timers(self, world: World) -> None:
        recorder = EventRecorder(world.engine)
        world.engine.schedule_in(5, recorder, "in", None)
        world.engine.schedule_at(3, recorder, "at", None)
        tick = world.engine.schedule_every(4, recorder, "every", None)
        assert world.engine.next_deadline() == 3
        world.settle(3)
        world.settle(2)
        world.settle(5)
        tick.cancel()
        world.settle(100)
        assert recorder.events == ["at", "every", "in", "every"]
        assert world.engine.next_deadline() is None

    def test_a_cancelled_event_is_not_delivered_though_it_is_queued(self, world: World) -> None:
        recorder = EventRecorder(world.engine)
        world.engine.schedule(recorder, "dropped", None).cancel()
        world.settle()
        assert recorder.events == []

    def test_other_engines_go_through_the_inbox(self, world: World) -> None:
        other = World()
        recorder = EventRecorder(world.engine)
        woken: list[bool] = []
        world.engine.inbox.wake = lambda: woken.append(True)
        world.engine.inbox.sleeping = True
        other.turn()
        world.engine.schedule(recorder, "posted", None)
        assert woken == [True]
        assert world.engine.busy
        world.settle()
        assert recorder.events == ["posted"]


class TestCalls:
    def test_a_result_comes_back(self, world: World) -> None:
        recorder = EventRecorder(world.engine)
        world.engine.call(recorder, max, 1, 2)
        world.settle()
        assert world.commands == [Call(1, max, (1, 2))]
        world.engine.called(1, 2)
        world.settle()
        assert recorder.events == [Called]
        assert recorder.data == [Called(2)]

    def test_an_exception_comes_back(self, world: World) -> None:
        recorder = EventRecorder(world.engine)
        error = LookupError("no")
        world.engine.call(recorder, max, deadline=5)
        world.engine.called(1, None, error)
        world.settle(100)
        assert recorder.data == [Called(None, error)]

    def test_an_answer_after_the_deadline_is_dropped(self, world: World) -> None:
        recorder = EventRecorder(world.engine)
        world.engine.call(recorder, max, deadline=2)
        world.settle(2)
        assert world.commands == [Call(1, max, ()), CancelCall(1)], "its thread is freed"
        world.engine.called(1, "late")
        world.settle()
        (answer,) = recorder.data
        assert isinstance(answer, Called)
        assert str(answer.error) == "timed out: no answer in 2s"

    def test_a_call_without_a_result_leaves_nothing(self, world: World) -> None:
        recorder = EventRecorder(world.engine)
        for _ in range(3):
            world.engine.call(recorder, max, deadline=2)
        world.settle(2)
        assert len(recorder.data) == 3
        assert not world.engine.pending_calls

    def test_calls_of_a_listener_have_their_own_lane(self, world: World) -> None:
        listener = Listener("db", acceptor=lambda _: None, engine=world.engine)
        vc, _ = world.accept(listener)
        world.engine.call(EventRecorder(world.engine, vc.mutex), max)
        world.settle()
        assert world.commands == [Call(1, max, (), "db")]


class TestCrashes:
    def test_only_the_failed_conversation_is_closed(self, world: World) -> None:
        recorder, one, wire = world.reading()
        bystander, other, other_wire = world.reading()
        two, _ = world.vc(recorder.mutex)
        with recorder.mutex.hold(world.engine):
            inner, outer = pipe(world.engine)
        with recorder.mutex.hold(world.engine), inner.mutex.hold(world.engine):
            inner.do_io_read(recorder, None, recorder.buffer)
        beyond = EventRecorder(world.engine, outer.mutex)
        with beyond.mutex.hold(world.engine):
            outer.do_io_read(beyond, None, beyond.buffer)
        recorder.on[Event.READ_READY] = lambda: {}["nothing"]  # type: ignore[index]
        wire.arrive(b"a banana skin")
        other_wire.arrive(b"all well")
        world.engine.schedule(recorder, "queued", None)
        world.settle()
        assert (one.closed, two.closed, inner.closed, other.closed) == (True, True, True, False)
        assert wire.ended == "reset"
        assert recorder.events == [Event.READ_READY], "nothing is delivered after the crash"
        assert bystander.events == [Event.READ_READY]
        assert beyond.events == [Event.ERROR]
        assert world.log == [
            "error: EventRecorder <EventRecorder> failed; its conversation is closed ('nothing')"
        ]

    def test_a_plugin_does_not_end_the_program(self, world: World) -> None:
        recorder, vc, wire = world.reading()
        recorder.on[Event.READ_READY] = sys.exit
        wire.arrive(b"quit")
        world.settle()
        assert vc.closed
        assert wire.ended == "reset"

    def test_the_history_is_logged(self, world: World) -> None:
        class Historian(EventRecorder):
            def crashed(self, error: Exception) -> str:
                return "the history"

            def handle_event(self, key: object, data: object) -> None:
                raise ValueError(key)

        world.engine.schedule(Historian(world.engine), "fail", None)
        world.settle()
        [line] = world.log
        assert "Historian <EventRecorder> failed; its conversation is closed\nthe history" in line
        assert line.endswith("(fail)")


class TestBlocking:
    """The driver reports a blocked callback: the engine has no clock of its own."""

    def test_the_conversation_of_a_blocking_callback_is_closed(self, world: World) -> None:
        recorder, vc, wire = world.reading()
        _, other, _ = world.reading()
        recorder.on[Event.READ_READY] = lambda: world.engine.inbox.post(
            partial(world.engine.blocked, recorder, (world.engine.now, 0))
        )
        wire.arrive(b"a nap")
        world.turn()
        assert not vc.closed, "the callback has not returned"
        world.settle(0.5)
        assert (vc.closed, wire.ended, other.closed) == (True, "reset", False)
        assert world.log == [
            "error: EventRecorder <EventRecorder> failed; its conversation is closed "
            "(its callback blocked engine for 0.500 s)"
        ]
        world.engine.blocked(recorder, (0.0, 0))
        assert len(world.log) == 1, "it has ended already"

    def test_it_waits_for_the_mutex(self, world: World) -> None:
        other = World()
        recorder, vc, _ = world.reading()
        with recorder.mutex.hold(other.engine):
            world.engine.inbox.post(partial(world.engine.blocked, recorder, (0.0, 0)))
            world.settle()
            assert not vc.closed
        world.settle()
        assert vc.closed

    def test_other_threads_can_see_what_is_running(self, world: World) -> None:
        engine, recorder = world.engine, EventRecorder(world.engine)
        seen: list[tuple[float, int]] = []

        def look() -> None:
            assert engine.running is recorder
            seen.append((engine.now, engine.delivery))

        recorder.on["one"] = recorder.on["two"] = look
        for key in ("one", "two"):
            engine.schedule(recorder, key, None)
        world.settle()
        engine.schedule(recorder, "one", None)
        world.settle(1.0)
        assert len(set(seen)) == 3, "each call has its own number"
        assert engine.running is None


class TestAcrossEngines:
    def test_one_conversation_on_two_engines(self, world: World) -> None:
        """Each VC is on its own engine, all are called back under one mutex."""
        other = World()
        recorder, _, wire = world.reading()
        there = EventRecorder(other.engine, recorder.mutex)
        vc, far_wire = other.vc(recorder.mutex)
        with recorder.mutex.hold(world.engine):
            vc.do_io_write(there, None, recorder.incoming)
        for one in (world, other):
            one.settle()
        there.events.clear()
        world.turn()
        wire.arrive(b"across")
        recorder.on[Event.READ_READY] = lambda: vc.write_vio.reenable()  # type: ignore[union-attr]
        world.settle()
        assert far_wire.outgoing == b"", "its own engine has to write it"
        other.settle()
        assert far_wire.outgoing == b"across"
        assert there.events == [Event.WRITE_READY]

    def test_a_crash_closes_the_vcs_on_the_other_engine_too(self, world: World) -> None:
        other = World()
        recorder, _, wire = world.reading()
        far, far_wire = other.vc(recorder.mutex)
        recorder.on[Event.READ_READY] = lambda: {}["nothing"]  # type: ignore[index]
        world.turn()
        wire.arrive(b"!")
        world.settle()
        other.settle()
        assert far.closed
        assert far_wire.ended == "reset"
        assert not other.engine.vcs


class TestMemory:
    BUDGET = 4 * SLAB

    def used_up(self) -> tuple[World, EventRecorder, EventRecorder]:
        """Two readers that do not consume: the first holds more than the second."""
        world = World(self.BUDGET)
        large, _, wire = world.reading()
        small, _, other_wire = world.reading()
        large.buffer.water_mark = small.buffer.water_mark = 1 << 30
        other_wire.arrive(bytes(SLAB))
        for _ in range(5):
            wire.arrive(bytes(SLAB))
        world.settle()
        return world, large, small

    def test_reading_pauses_when_the_budget_is_used_up(self) -> None:
        world, large, _ = self.used_up()
        assert world.engine.memory.used == self.BUDGET
        assert large.incoming.avail == 3 * SLAB

    def test_reading_resumes_when_memory_is_free(self) -> None:
        world, large, _ = self.used_up()
        large.incoming.consume(2 * SLAB)
        world.settle(0.05)
        assert large.incoming.avail == 2 * SLAB, "one more read than was left"
        assert world.log == []

    def test_the_largest_connection_is_closed_if_memory_stays_used_up(self) -> None:
        world, large, small = self.used_up()
        for _ in range(9):
            world.settle(0.05)
        assert world.log == []
        world.settle(0.05)
        world.settle(0.05)
        assert large.events[-1] is Event.ERROR
        assert Event.ERROR not in small.events
        assert world.log == [
            "warning: tcp://example:1: closed: the memory budget is used up, and it holds 768.0KiB"
        ]

    def test_a_closed_connection_is_not_closed_again(self) -> None:
        world, large, small = self.used_up()
        for _ in range(45):
            world.settle(0.05)
        assert [recorder.events[-1] for recorder in (large, small)] == [Event.ERROR, Event.ERROR]
        assert len(world.log) == 2

    def test_a_sink_that_does_not_read_is_closed_not_its_source(self) -> None:
        world = World(self.BUDGET)
        source, _, wire = world.reading()
        source.buffer.water_mark = 1 << 30
        sinks = []
        for window in (1 << 30, 0):
            sink = EventRecorder(world.engine)
            vc, sink_wire = world.vc(sink.mutex)
            sink_wire.window = window
            with sink.mutex.hold(world.engine):
                vc.do_io_write(sink, None, source.buffer.reader())
            sinks.append(sink)
        source.incoming.close()

        def hurry_the_sinks() -> None:
            for vc in world.engine.vcs:
                if vc.write_vio is not None:
                    vc.write_vio.reenable()

        source.on[Event.READ_READY] = hurry_the_sinks
        for _ in range(5):
            wire.arrive(bytes(SLAB))
        for _ in range(22):
            world.settle(0.05)
        assert Event.ERROR not in source.events
        assert [Event.ERROR in sink.events for sink in sinks] == [False, True]
