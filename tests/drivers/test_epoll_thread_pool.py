"""Thread pools: a job that hangs delays only its own pool, and its thread is replaced."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from queue import SimpleQueue

import pytest

from vcproxy.drivers.epoll import resolver
from vcproxy.drivers.epoll.offload import Offload
from vcproxy.drivers.epoll.thread_pool import MAX_REPLACED, THREADS, Job, ThreadPool
from vcproxy.testing.running import PATIENCE_S, eventually


class Hung:
    """A function whose calls return only after `release`."""

    def __init__(self) -> None:
        self._released = threading.Event()
        self.started: SimpleQueue[object] = SimpleQueue()

    def __call__(self, value: object = None) -> object:
        self.started.put(value)
        assert self._released.wait(PATIENCE_S)
        return value

    def release(self) -> None:
        """Let all calls return."""
        self._released.set()


@pytest.fixture
def hung() -> Iterator[Hung]:
    hung = Hung()
    yield hung
    hung.release()


class Results:
    """Results of jobs, in the order of their arrival."""

    def __init__(self) -> None:
        self._results: SimpleQueue[tuple[object, Exception | None]] = SimpleQueue()

    def __call__(self, value: object, error: Exception | None) -> None:
        self._results.put((value, error))

    def next(self) -> tuple[object, Exception | None]:
        """Wait for the next result and return it."""
        return self._results.get(timeout=PATIENCE_S)

    @property
    def empty(self) -> bool:
        """Whether no result has arrived."""
        return self._results.empty()


def threads(name: str) -> int:
    """Return how many threads a pool has."""
    return sum(thread.name == f"vcproxy {name}" for thread in threading.enumerate())


def test_hanging_work_delays_its_own_pool_only(hung: Hung) -> None:
    offload, results, stuck = Offload(), Results(), Results()
    for _ in range(THREADS + 1):
        offload.calls("a").run(hung, (), stuck)
    for number in range(resolver.THREADS):
        offload.resolver._pool.run(hung, (number,), stuck)
    for _ in range(THREADS + resolver.THREADS):
        hung.started.get(timeout=PATIENCE_S)
    offload.internal.run(lambda: "reloaded", (), results)
    assert results.next() == ("reloaded", None)
    offload.calls("b").run(lambda: "checked", (), results)
    assert results.next() == ("checked", None)
    assert stuck.empty
    assert offload.calls("a") is offload.calls("a")


def test_the_thread_of_a_cancelled_job_is_replaced_and_ends_with_the_job(
    hung: Hung,
) -> None:
    pool, results, stuck = ThreadPool("replaced"), Results(), Results()
    jobs = [pool.run(hung, (number,), stuck) for number in range(THREADS)]
    for _ in range(THREADS):
        hung.started.get(timeout=PATIENCE_S)
    pool.run(lambda: "waits", (), results)
    assert results.empty
    pool.cancel(jobs[0])
    assert results.next() == ("waits", None)
    assert threads("replaced") == THREADS + 1
    pool.cancel(jobs[0])
    assert threads("replaced") == THREADS + 1, "the job was cancelled before"
    hung.release()
    values = sorted(str(stuck.next()[0]) for _ in range(THREADS - 1))
    assert values == [str(number) for number in range(1, THREADS)], "no result of the cancelled job"
    pool.run(lambda: "continues", (), results)
    assert results.next() == ("continues", None)
    eventually(lambda: threads("replaced") == THREADS, "the thread of the cancelled job has ended")


def test_at_the_limit_of_replaced_threads_further_jobs_wait(hung: Hung) -> None:
    pool, results, stuck = ThreadPool("bounded"), Results(), Results()
    for number in range(2 * MAX_REPLACED):
        job = pool.run(hung, (number,), stuck)
        if number < MAX_REPLACED + THREADS:
            hung.started.get(timeout=PATIENCE_S)
        pool.cancel(job)
    assert threads("bounded") == MAX_REPLACED + THREADS
    job = pool.run(lambda: "never", (), results)
    pool.cancel(job)
    last = pool.run(lambda: "waits", (), results)
    assert hung.started.empty(), "a job cancelled before its start does not run"
    hung.release()
    assert results.next() == ("waits", None)
    pool.cancel(last)
    assert stuck.empty


def test_a_job_that_is_cancelled_after_its_end_keeps_its_thread(hung: Hung) -> None:
    pool, results = ThreadPool("kept", 1), Results()
    ended = SimpleQueue[Job]()

    def done(value: object, error: Exception | None) -> None:
        pool.cancel(ended.get(timeout=PATIENCE_S))
        results(value, error)

    ended.put(pool.run(str, (), done))
    assert results.next() == ("", None)
    pool.run(hung, (), results)
    hung.started.get(timeout=PATIENCE_S)
    pool.run(str, (), results)
    assert threads("kept") == 1
    hung.release()


@pytest.mark.parametrize(
    ("raised", "text"),
    [
        (ValueError("no"), "no"),
        (SystemExit(3), "sys.exit() (3) in a plugin closes its conversation, not the program"),
        *(
            (kind(), f"{kind.__name__} in a plugin closes its conversation, not the program")
            for kind in (KeyboardInterrupt, asyncio.CancelledError, GeneratorExit)
        ),
    ],
)
def test_any_exception_becomes_the_result_and_the_thread_continues(
    raised: BaseException, text: str
) -> None:
    pool, results = ThreadPool(type(raised).__name__), Results()

    def fail() -> None:
        raise raised

    for _ in range(2 * THREADS):
        pool.run(fail, (), results)
    for _ in range(2 * THREADS):
        value, error = results.next()
        assert (value, str(error)) == (None, text)
        assert isinstance(error, Exception)
    assert threads(type(raised).__name__) <= THREADS
