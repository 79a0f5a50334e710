#!/bin/sh
# epoll goes on to report a descriptor after close(2) while a child process that is being launched
# still has a copy of it, that is until its exec(2): FD_CLOEXEC does not help before. epoll_ctl(2)
# cannot remove the watch any more, and the number may be in use for another descriptor. A pidfd of a
# child that has ended is level-triggered, so it is reported in every poll.
set -eu
timeout 20 python3 - <<'PYTHON'
import os, platform, select, signal, subprocess, sys

child = subprocess.Popen(["true"])
pidfd = os.pidfd_open(child.pid)
epoll = select.epoll()
epoll.register(pidfd, select.EPOLLIN)
epoll.poll(5)
forked = os.fork()  # as a child between vfork(2) and exec(2)
if not forked:
    signal.pause()
    os._exit(0)
os.close(pidfd)
child.wait()
again = os.open("/dev/null", os.O_RDONLY)
assert again == pidfd
reported = any(number == pidfd for number, _ in epoll.poll(0))
os.kill(forked, signal.SIGKILL)
os.waitpid(forked, 0)
after = bool(epoll.poll(0))
print(f"Linux {platform.release()}: reported after close: {reported}; after the copy is closed: {after}")
sys.exit(not (reported and not after))
PYTHON
