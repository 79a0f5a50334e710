"""Run a module with its calls counted: `python counted.py SOCKET MODULE ARGUMENT...`.

Counting starts when a thread creates an epoll object, for that thread: its imports, which counting
would make three times as slow, are complete by then.

A connection to SOCKET, a path, receives the counts so far as JSON: function -> calls, builtin
functions by their names alone. This module imports nothing of this repository, because it also runs
other revisions.
"""

import json
import runpy
import select
import socket
import sys
import threading
from collections import Counter
from types import CodeType, FrameType
from typing import Any

functions: Counter[CodeType] = Counter()
builtins: Counter[str] = Counter()


def count(frame: FrameType, event: str, argument: Any) -> None:
    """Count a call: a profile function (sys.setprofile)."""
    if event == "call":
        functions[frame.f_code] += 1
    elif event == "c_call":
        builtins[argument.__qualname__] += 1


def answer(listener: socket.socket) -> None:
    while True:
        client, _ = listener.accept()
        with client:
            named: Counter[str] = Counter()
            for code, calls in list(functions.items()):
                file = code.co_filename.partition("vcproxy/")[2] or code.co_filename
                named[f"{code.co_qualname} ({file}:{code.co_firstlineno})"] += calls
            client.sendall(json.dumps([named, builtins]).encode())


def counting_epoll(*arguments: int) -> select.epoll:
    """Create an epoll object, and count the calls of this thread from now on."""
    sys.setprofile(count)
    return create(*arguments)


if __name__ == "__main__":
    _, place, module, *arguments = sys.argv
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(place)
    listener.listen()
    threading.Thread(target=answer, args=(listener,), daemon=True).start()
    sys.argv = [module, *arguments]
    sys.path[0] = ""  # as with `python -m`
    create = select.epoll
    select.epoll = counting_epoll  # type: ignore[assignment, misc]
    runpy.run_module(module, run_name="__main__", alter_sys=True)
