"""Calls off the loop: work that would block runs on a few threads and is answered later."""

from __future__ import annotations

import threading
from collections.abc import Callable
from queue import SimpleQueue

from vcproxy.engine.mistake import as_error

THREADS = 8
"""Name look-ups and checks wait for others, not for the processor: more would only queue there."""

Answer = Callable[[object, Exception | None], None]
Work = tuple[Callable[..., object], tuple[object, ...], Answer]


class Callers:
    """Threads that run functions; `answer(value, error)` is called on such a thread.

    They are started as they are needed, and daemons: a look-up that hangs does not hold up the
    end of the program.
    """

    def __init__(self) -> None:
        self._work: SimpleQueue[Work] = SimpleQueue()
        self._lock = threading.Lock()
        self._started = 0
        self._waiting = 0

    def run(self, fn: Callable[..., object], args: tuple[object, ...], answer: Answer) -> None:
        """Have `fn(*args)` run; whatever it raises is the answer's error."""
        with self._lock:
            self._waiting += 1
            if self._waiting > self._started and self._started < THREADS:
                try:
                    threading.Thread(target=self._serve, daemon=True, name="vcproxy call").start()
                except RuntimeError as error:  # the system starts no more threads
                    if not self._started:
                        self._waiting -= 1
                        answer(None, error)
                        return
                else:
                    self._started += 1
        self._work.put((fn, args, answer))

    def _serve(self) -> None:
        while True:
            fn, args, answer = self._work.get()
            try:
                value = fn(*args)
            except BaseException as mistake:  # or it would end this thread
                answer(None, as_error(mistake))
            else:
                answer(value, None)
            with self._lock:
                self._waiting -= 1
