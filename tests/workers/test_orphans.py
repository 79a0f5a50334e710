"""Orphans: what a dead worker has started is killed and reaped."""

from __future__ import annotations

import subprocess
import sys
import threading

from vcproxy.workers.orphans import children

LEAVES_TWO = """
import os, subprocess, sys
from vcproxy.workers.orphans import Orphans, adopt_orphans, children

adopt_orphans()
own = subprocess.Popen(["sleep", "60"])
# A worker that starts a program, which starts another one, and dies.
worker = subprocess.Popen(["sh", "-c", "sh -c 'sleep 60 & wait' & kill -9 $$"])
worker.wait()
later = []
orphans = Orphans(lambda: [own.pid], lambda seconds, call: later.append(call))
assert len(orphans.kill()) == 1
rounds = 0
while len(later) > 0:
    rounds += 1
    assert rounds < 100_000
    later.pop()()
assert children() == [own.pid], children()
own.kill()
own.wait()
print("done")
"""


def test_programs_of_a_dead_worker_and_what_they_leave_are_killed_and_reaped() -> None:
    done = subprocess.run(
        [sys.executable, "-c", LEAVES_TWO], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.stdout == "done\n", done.stderr


def test_threads_that_end_meanwhile_are_no_error() -> None:
    """The master loads configurations in threads: their tasks vanish from /proc at any moment."""
    stop = threading.Event()

    def churn() -> None:
        while not stop.is_set():
            for thread in [threading.Thread(target=str) for _ in range(8)]:
                thread.start()

    churning = threading.Thread(target=churn)
    churning.start()
    try:
        for _ in range(500):
            children()
    finally:
        stop.set()
        churning.join()
