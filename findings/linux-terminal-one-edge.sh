#!/bin/sh
# A read(2) from a terminal in canonical mode returns one line, also if several were typed. With
# EPOLLET, epoll reports them once. The advice of epoll(7) for byte streams, that a read of less than
# was asked for has emptied the queue, loses lines here: the rest is reported with the next key.
set -eu
timeout 60 python3 - <<'PYTHON'
import os, platform, pty, select, sys

print(platform.system(), platform.release())


def reported(keys):
    """Type keys at a terminal; return the first read after the edge, what epoll reports then, and
    what is still there."""
    keyboard, terminal = pty.openpty()
    os.set_blocking(terminal, False)
    poller = select.epoll()
    poller.register(terminal, select.EPOLLIN | select.EPOLLET)
    os.write(keyboard, keys)
    assert poller.poll(5)
    first = os.read(terminal, 4096)
    again = len(poller.poll(0.5))
    rest = os.read(terminal, 4096)
    os.close(keyboard)
    os.close(terminal)
    return first, again, rest


first, again, rest = reported(b"one\ntwo\n")
print(f"read of 4096 bytes: {first}; events after it: {again}; unread: {rest}")
sys.exit((first, again, rest) != (b"one\n", 0, b"two\n"))
PYTHON
