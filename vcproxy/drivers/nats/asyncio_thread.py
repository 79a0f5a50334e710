"""AsyncioThread: a thread that runs asyncio, for a driver that does not."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable

ENDING_S = 0.5
"""What is cut off when the loop ends has so long to leave in good order."""

ENDINGS = 3
"""So often it is told to: wait_for may swallow that, until Python 3.12."""


class AsyncioThread:
    """One event loop of asyncio on a daemon thread of its own; it runs from the first `call` on."""

    def __init__(self, complain: Callable[[str], None]) -> None:
        """`complain` is told, in that thread, of what nobody has foreseen."""
        self._loop = asyncio.new_event_loop()
        self._loop.set_exception_handler(
            lambda _, said: complain(f"{said['message']}: {said.get('exception')!r}")
        )
        self._thread = threading.Thread(target=self._run, daemon=True, name="vcproxy nats")
        self._thread.start()

    def call(self, function: Callable[[], object]) -> None:
        """Have a function called in the loop. Any thread may ask."""
        self._loop.call_soon_threadsafe(function)

    def close(self) -> None:
        """Cancel what runs, give it time to end, and wait for that."""
        self.call(self._loop.stop)
        self._thread.join()

    def _run(self) -> None:
        self._loop.run_forever()
        self._loop.run_until_complete(self._end())
        self._loop.close()

    async def _end(self) -> None:
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for _ in range(ENDINGS):
            for task in tasks:
                task.cancel()
            if not tasks:
                break
            _, tasks = await asyncio.wait(tasks, timeout=ENDING_S)
