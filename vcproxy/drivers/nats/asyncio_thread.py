"""AsyncioThread: a thread that runs an asyncio event loop, for a driver that does not use asyncio.

Tested in tests/drivers/test_nats.py.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable

CANCEL_S = 0.5
"""Time that cancelled tasks have to end."""

CANCEL_ATTEMPTS = 3
"""How often a task is cancelled: before Python 3.12 `wait_for` may swallow a cancellation."""


class AsyncioThread:
    """An asyncio event loop on a daemon thread of its own."""

    def __init__(self, on_error: Callable[[str], None]) -> None:
        """`on_error(text)` is called on that thread for unhandled exceptions."""
        self._loop = asyncio.new_event_loop()
        self._loop.set_exception_handler(
            lambda _, context: on_error(f"{context['message']}: {context.get('exception')!r}")
        )
        self._thread = threading.Thread(target=self._run, daemon=True, name="vcproxy nats")
        self._thread.start()

    def call(self, function: Callable[[], object]) -> None:
        """Call a function in the loop. Any thread may use it."""
        self._loop.call_soon_threadsafe(function)

    def close(self) -> None:
        """Cancel all tasks, and wait until they have ended, for a limited time."""
        self.call(self._loop.stop)
        self._thread.join()

    def _run(self) -> None:
        self._loop.run_forever()
        self._loop.run_until_complete(self._cancel_tasks())
        self._loop.close()

    async def _cancel_tasks(self) -> None:
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for _ in range(CANCEL_ATTEMPTS):
            for task in tasks:
                task.cancel()
            if not tasks:
                break
            _, tasks = await asyncio.wait(tasks, timeout=CANCEL_S)
