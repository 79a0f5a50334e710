"""ThreadPool: threads for one kind of blocking work."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from vcproxy.engine.plugin_error import as_error

THREADS = 8
"""Default number of threads of a pool: more would only queue at the service they call."""

MAX_REPLACED = 24
"""Threads of a pool that may hang and be replaced at the same time. When as many hang, further work
waits until one of them returns, or until its own deadline."""

ResultCallback = Callable[[object, Exception | None], None]


@dataclass(slots=True, eq=False)
class Job:
    """One function call; `done(value, error)` is called on the thread that ran it."""

    fn: Callable[..., object]
    args: tuple[object, ...]
    done: ResultCallback
    started: bool = False
    ended: bool = False
    """Whether its function has returned; `done` may not have been called yet."""
    cancelled: bool = False
    replaced: bool = False
    """Whether another thread has taken the place of the one that runs it."""


class ThreadPool:
    """At most `threads` threads; jobs start in the order in which they were added.

    Threads are started when they are needed. They are daemons: one that hangs does not delay the
    end of the program. Python cannot interrupt a thread: one whose job was cancelled is replaced,
    and ends when its job returns. Any thread may call the methods.
    """

    def __init__(self, name: str, threads: int = THREADS) -> None:
        self._name = name
        self._max_threads = threads
        self._condition = threading.Condition()
        self._queue: deque[Job] = deque()
        self._threads = 0
        self._idle = 0
        self._replaced = 0

    def run(self, fn: Callable[..., object], args: tuple[object, ...], done: ResultCallback) -> Job:
        """Run `fn(*args)` on a thread, then call `done(value, error)` there.

        `error` is what `fn` raised. Where no thread can be started, `done` is called at once.
        """
        job = Job(fn, args, done)
        with self._condition:
            self._queue.append(job)
            failed = self._start_thread()
            self._condition.notify()
            if failed is not None and not self._threads:
                self._queue.remove(job)
            else:
                failed = None
        if failed is not None:
            done(None, failed)
        return job

    def cancel(self, job: Job) -> None:
        """Do not call `done` for a job, unless its function has returned.

        A job that has not started is removed from the queue.
        """
        with self._condition:
            if job.cancelled or job.ended:
                return
            job.cancelled = True
            if not job.started:
                self._queue.remove(job)
            elif self._replaced < MAX_REPLACED:
                job.replaced = True
                self._replaced += 1
                self._threads -= 1
                self._start_thread()

    def _start_thread(self) -> Exception | None:
        """Start a thread if more jobs wait than threads are idle; return the error if it fails."""
        if len(self._queue) <= self._idle or self._threads >= self._max_threads:
            return None
        try:
            threading.Thread(target=self._serve, daemon=True, name=f"vcproxy {self._name}").start()
        except RuntimeError as error:  # the system starts no more threads
            return error
        self._threads += 1
        return None

    def _serve(self) -> None:
        while True:
            with self._condition:
                self._idle += 1
                while not self._queue:
                    self._condition.wait()
                self._idle -= 1
                job = self._queue.popleft()
                job.started = True
            value, error = _result(job)
            with self._condition:
                cancelled = job.cancelled
                job.ended = True
                if job.replaced:
                    self._replaced -= 1
            if not cancelled:
                job.done(value, error)
            elif job.replaced:
                return


def _result(job: Job) -> tuple[object, Exception | None]:
    try:
        return job.fn(*job.args), None
    except BaseException as mistake:  # an uncaught exception would end the thread
        return None, as_error(mistake)
