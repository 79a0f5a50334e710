"""Run a module with its turns timed: `python turns.py SOCKET MODULE ARGUMENT...`.

A turn is what a thread does between two polls of its epoll object. Its CPU time is taken: what else
the machine does would count in any other. A connection to SOCKET, a path, receives the longest turn
of the first net thread since the last connection, in seconds, as JSON.
"""

import json
import runpy
import select
import selectors  # it makes an epoll object when it is imported  # noqa: F401
import socket
import sys
import threading
import time
from typing import Any

longest = [0.0]
timed: list[Any] = []


class TimedEpoll:
    """The epoll object of a net thread."""

    def __init__(self, *arguments: int) -> None:
        self._epoll = create(*arguments)
        self._began = 0.0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._epoll, name)

    def poll(self, timeout: float = -1, maxevents: int = -1) -> list[tuple[int, int]]:
        """Poll, and time what was done since the last poll."""
        if self._began:
            longest[0] = max(longest[0], time.thread_time() - self._began)
        found = self._epoll.poll(timeout, maxevents)
        self._began = time.thread_time()
        return found


def made(*arguments: int) -> Any:
    """Return an epoll object: the first one, which is that of the net thread, is timed."""
    if timed:
        return create(*arguments)
    timed.append(TimedEpoll(*arguments))
    return timed[0]


def answer(listener: socket.socket) -> None:
    """Answer clients."""
    while True:
        client, _ = listener.accept()
        with client:
            client.sendall(json.dumps(longest[0]).encode())
        longest[0] = 0.0


if __name__ == "__main__":
    _, place, module, *arguments = sys.argv
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(place)
    listener.listen()
    threading.Thread(target=answer, args=(listener,), daemon=True).start()
    sys.argv = [module, *arguments]
    sys.path[0] = ""  # as with `python -m`
    create = select.epoll
    select.epoll = made  # type: ignore[assignment, misc]
    runpy.run_module(module, run_name="__main__", alter_sys=True)
