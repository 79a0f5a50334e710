#!/bin/sh
# Python's socket.send_fds and socket.recv_fds accept flags and ignore them: with MSG_DONTWAIT they
# wait, and with MSG_CMSG_CLOEXEC child processes inherit the descriptors. Reported in 2023
# (python/cpython#107898).
set -eu
timeout 20 python3 - <<'PYTHON'
import os, signal, socket, sys

print(sys.version.split()[0])


class Waited(Exception):
    pass


def waited(*_):
    raise Waited


one, other = socket.socketpair()
signal.signal(signal.SIGALRM, waited)
signal.setitimer(signal.ITIMER_REAL, 1)
waits = False
try:
    socket.recv_fds(other, 1, 1, socket.MSG_DONTWAIT)
except BlockingIOError:
    pass
except Waited:
    waits = True
signal.setitimer(signal.ITIMER_REAL, 0)
socket.send_fds(one, [b"x"], [0])
_, (received,), _, _ = socket.recv_fds(other, 1, 1, socket.MSG_CMSG_CLOEXEC)
inherited = os.get_inheritable(received)
print(f"recv_fds waits despite MSG_DONTWAIT: {waits}; despite MSG_CMSG_CLOEXEC inherited: {inherited}")
sys.exit(not (waits and inherited))
PYTHON
