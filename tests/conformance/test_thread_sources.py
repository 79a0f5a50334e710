"""What every driver does for messages of threads, and threads of an author's function."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Hashable, Iterator

import pytest

from tests.engine.world import EventRecorder
from vcproxy.drivers.sim import NetworkFaults, Simulation
from vcproxy.engine.sources.own_thread import (
    MOST_THREADS,
    TOO_MANY,
    OwnThread,
    ThreadDone,
    ThreadStopped,
    ThreadWork,
)
from vcproxy.engine.sources.thread_messages import LIMIT, ThreadMessage, ThreadMessages
from vcproxy.testing.running import eventually

from .source_world import SourceWorld, opened, world_of

PATIENCE_S = 20.0


@pytest.fixture(params=["epoll", "sim"])
def world(request: pytest.FixtureRequest) -> Iterator[SourceWorld]:
    with world_of(request.param) as made:
        yield made


def values(recorder: EventRecorder) -> list[object]:
    return [each.value for each in recorder.data if isinstance(each, ThreadMessage)]


def turn(world: SourceWorld) -> None:
    """Run what is due: a message to another source is delivered after all that came before."""
    recorder, messages = opened(world, lambda recorder: ThreadMessages(recorder, "last"))
    messages.post("last")
    world.run(lambda: recorder.data)
    with recorder.mutex.hold(world.engine):
        messages.close()


class Posted:
    """A ThreadMessages source."""

    def __init__(self, world: SourceWorld, **options: int) -> None:
        self.world = world
        self.recorder, self.source = opened(
            world, lambda recorder: ThreadMessages(recorder, "thread", **options)
        )

    def do(self, call: Callable[[], None]) -> None:
        with self.recorder.mutex.hold(self.world.engine):
            call()


class TestThreadMessages:
    def test_messages_arrive_in_order(self, world: SourceWorld) -> None:
        posted = Posted(world)
        assert posted.source.post({"before": ["it", "is", "open"]})
        turn(world)

        def post() -> None:
            for number in range(100):
                posted.source.post(number)

        thread = threading.Thread(target=post)
        thread.start()
        thread.join()
        world.run(lambda: len(posted.recorder.data) == 101)
        assert posted.recorder.data[0] == ThreadMessage("thread", {"before": ["it", "is", "open"]})
        assert values(posted.recorder)[1:] == list(range(100))

    def test_many_threads_lose_nothing(self, world: SourceWorld) -> None:
        """Also while the source is being opened, and while it is disabled and enabled."""
        posted = Posted(world, limit=10_000)
        threads = [
            threading.Thread(
                target=lambda first: [posted.source.post(first + each) for each in range(500)],
                args=(number * 1000,),
            )
            for number in range(4)
        ]
        for thread in threads:
            thread.start()
        for _ in range(10):
            posted.do(posted.source.disable)
            turn(world)
            posted.do(posted.source.enable)
            turn(world)
        for thread in threads:
            thread.join()
        world.run(lambda: len(posted.recorder.data) == 2000)
        for number in range(4):
            mine = [each for each in values(posted.recorder) if int(str(each)) // 1000 == number]
            assert mine == [number * 1000 + each for each in range(500)]

    def test_too_many_are_refused(self, world: SourceWorld) -> None:
        posted = Posted(world)
        turn(world)
        assert all(posted.source.post(number) for number in range(LIMIT))
        assert not posted.source.post("one more")
        world.run(lambda: len(posted.recorder.data) == LIMIT)
        assert posted.source.post("now")

    def test_a_disabled_one_lets_them_wait(self, world: SourceWorld) -> None:
        posted = Posted(world)
        turn(world)
        posted.do(posted.source.disable)
        turn(world)
        for number in range(LIMIT):
            assert posted.source.post(number)
        assert not posted.source.post("one more")
        turn(world)
        assert posted.recorder.data == []
        posted.do(posted.source.enable)
        world.run(lambda: len(posted.recorder.data) == LIMIT)

    def test_a_closed_one_takes_none(self, world: SourceWorld) -> None:
        posted = Posted(world)
        posted.source.post(1)
        posted.do(posted.source.close)
        turn(world)
        assert not posted.source.post(2)
        assert posted.recorder.data == []

    @pytest.mark.parametrize(
        ("value", "other"),
        [(object(), "object"), ([{"a": {1}}], "set"), (ThreadMessage("a", 1), "ThreadMessage")],
    )
    def test_a_message_is_plain_data(self, world: SourceWorld, value: object, other: str) -> None:
        posted = Posted(world)
        with pytest.raises(TypeError, match=rf"thread: a message must be plain data .*not {other}"):
            posted.source.post(value)

    def test_circular_data_is_refused(self, world: SourceWorld) -> None:
        circle: list[object] = []
        circle.append(circle)
        with pytest.raises(TypeError, match="not nested too deeply"):
            Posted(world).source.post(circle)


def counting(work: ThreadWork, count: int) -> str:
    for number in range(count):
        work.post(number)
    return "done"


def failing(work: ThreadWork) -> None:
    raise ValueError("no such key")


def leaving(work: ThreadWork) -> None:
    raise SystemExit(3)


def odd(work: ThreadWork) -> object:
    return object()


def run(
    world: SourceWorld, function: Callable[..., object], *args: object
) -> tuple[EventRecorder, OwnThread]:
    return opened(world, lambda recorder: OwnThread(recorder, "reader", function, *args))


def started(world: SourceWorld, function: Callable[..., object]) -> bool:
    """Try to start one more."""
    recorder, _ = run(world, function)
    world.run(lambda: recorder.data)
    return recorder.events == [ThreadMessage]


class TestOwnThread:
    def test_its_messages_arrive_and_then_its_value(self, world: SourceWorld) -> None:
        recorder, source = run(world, counting, 5000)
        world.run(lambda: len(recorder.data) == 5001)
        assert values(recorder) == list(range(5000))
        assert recorder.data[-1] == ThreadDone("reader", "done")
        assert world.engine.sources == {}
        assert source.detail == "counting"

    def test_it_waits(self, world: SourceWorld) -> None:
        started = world.engine.now

        def waiting(work: ThreadWork) -> None:
            work.post("first")
            work.wait(0.05)
            work.wait(0.05)

        recorder, _ = run(world, waiting)
        world.run(lambda: len(recorder.data) == 2)
        assert recorder.data == [ThreadMessage("reader", "first"), ThreadDone("reader")]
        assert world.engine.now - started >= 0.0999

    @pytest.mark.parametrize(
        ("function", "error"),
        [
            (failing, "ValueError: no such key (test_thread_sources.py:"),
            (leaving, "SystemExit: 3 (test_thread_sources.py:"),
            (odd, "TypeError: what odd returns must be plain data "),
        ],
    )
    def test_what_it_raises_is_an_event(
        self, world: SourceWorld, function: Callable[..., object], error: str
    ) -> None:
        recorder, _ = run(world, function)
        world.run(lambda: recorder.data)
        (done,) = recorder.data
        assert isinstance(done, ThreadDone)
        assert done.value is None
        assert done.error.startswith(error)
        assert world.log == []

    @pytest.mark.parametrize("posts", [True, False])
    def test_close_ends_one_that_waits_or_posts(self, world: SourceWorld, posts: bool) -> None:
        ended = threading.Event()

        def forever(work: ThreadWork) -> None:
            work.post("running")
            try:
                while True:
                    if posts:
                        work.post("more")
                    work.wait(0.0 if posts else 60.0)
            except ThreadStopped:
                assert work.stopping
                ended.set()
                raise

        recorder, source = run(world, forever)
        world.run(lambda: recorder.data)
        with recorder.mutex.hold(world.engine):
            source.close()
        count = len(recorder.data)
        turn(world)
        assert ended.wait(PATIENCE_S)
        assert len(recorder.data) == count
        assert ThreadDone not in recorder.events
        assert world.engine.sources == {}

    def test_close_before_it_runs(self, world: SourceWorld) -> None:
        recorder, source = run(world, counting, 3)
        with recorder.mutex.hold(world.engine):
            source.close()
        turn(world)
        assert recorder.data == []

    def test_one_that_posts_too_much_waits(self, world: SourceWorld) -> None:
        recorder, source = run(world, counting, LIMIT + 100)
        with recorder.mutex.hold(world.engine):
            source.disable()
        turn(world)
        world.run(lambda: len(source.waiting) == LIMIT)
        assert recorder.data == []
        with recorder.mutex.hold(world.engine):
            source.enable()
        world.run(lambda: len(recorder.data) == LIMIT + 101)
        assert values(recorder) == list(range(LIMIT + 100))

    def test_the_end_of_the_driver_ends_it(self, world: SourceWorld) -> None:
        ended = threading.Event()

        def forever(work: ThreadWork) -> None:
            work.post("running")
            try:
                work.wait(60.0)
            finally:
                ended.set()

        recorder, _ = run(world, forever)
        world.run(lambda: recorder.data)
        world.close()
        assert ended.is_set()
        assert world.log == []

    def test_one_more_than_the_most_is_not_started(self, world: SourceWorld) -> None:
        def waiting(work: ThreadWork) -> None:
            work.post("running")
            work.wait(60.0)

        threads = [run(world, waiting) for _ in range(MOST_THREADS)]
        world.run(lambda: all(recorder.data for recorder, _ in threads))
        refused, _ = run(world, waiting)
        world.run(lambda: refused.data)
        assert refused.data == [ThreadDone("reader", None, TOO_MANY)]
        first, source = threads[0]
        with first.mutex.hold(world.engine):
            source.close()
        turn(world)
        eventually(lambda: started(world, waiting), "another is started")

    def test_one_that_blocks_elsewhere_is_logged(self) -> None:
        with world_of("epoll") as world:
            released = threading.Event()

            def blocking(work: ThreadWork) -> None:
                work.post("running")
                released.wait(PATIENCE_S)

            recorders = [run(world, blocking)[0] for _ in range(30)]
            world.run(lambda: all(recorder.data for recorder in recorders))
            began = time.monotonic()
            world.close()
            assert time.monotonic() - began < 20.0  # not 30: they are waited for together
            released.set()
            assert len(world.log) == 30
            for line in world.log:
                assert line.startswith("warning: reader: its thread goes on, because TestOwn")
                assert line.endswith(
                    "not returned 1 s after the stop: let it wait with work.wait()"
                )

    @pytest.mark.parametrize("seed", range(5))
    def test_a_seed_repeats_a_simulated_run(self, seed: int) -> None:
        def seen() -> list[tuple[float, object]]:
            found: list[tuple[float, object]] = []
            with Simulation(seed, NetworkFaults.all()) as sim:
                engine = sim.driver().engine

                class Timed(EventRecorder):
                    def handle_event(self, key: Hashable, data: object) -> None:
                        found.append((engine.now, data))

                def working(work: ThreadWork, name: str) -> str:
                    for number in range(20):
                        work.wait(0.01 * number)
                        work.post(f"{name} {number}")
                    return name

                timed = Timed(engine)
                with timed.mutex.hold(engine):
                    for name in ("a", "b", "c"):
                        OwnThread(timed, name, working, name)
                sim.run(until=lambda: engine.sources == {})
            return found

        first = seen()
        assert len(first) == 63
        assert first == seen()

    def test_its_conversation_ends_it(self, world: SourceWorld) -> None:
        ended = threading.Event()

        def forever(work: ThreadWork) -> None:
            try:
                work.post("running")
                work.wait(60.0)
            finally:
                ended.set()

        recorder, _ = run(world, forever)
        recorder.on[ThreadMessage] = lambda: 1 // 0
        world.run(lambda: recorder.data)
        turn(world)
        assert ended.wait(PATIENCE_S)
        assert "its conversation is closed" in world.log[0]
        assert world.engine.sources == {}
