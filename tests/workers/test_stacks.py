"""The stacks of a process that hangs."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.e2e.running import eventually
from vcproxy.workers.stacks import SIGNAL, SIZE, Stacks

HANGING = """
import os, sys, threading, time
from vcproxy.workers.stacks import write_when_asked

def loops():
    os.write(1, b".")
    while True: pass

def waits():
    os.write(1, b".")
    time.sleep(1000)

write_when_asked(int(sys.argv[1]))
threading.Thread(target=waits, daemon=True).start()
globals()[sys.argv[2]]()
"""


@pytest.mark.parametrize("how", ["loops", "waits"])
def test_a_process_that_hangs_leaves_the_stacks_of_all_threads(how: str) -> None:
    stacks = Stacks()
    command = [sys.executable, "-c", HANGING, str(stacks.fileno()), how]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, pass_fds=[stacks.fileno()])
    try:
        assert process.stdout is not None
        assert process.stdout.read(2) == b"..", "both threads are there"
        for _ in range(2):  # what was read before is not repeated
            stacks.request()
            assert stacks.read() == ""
            process.send_signal(SIGNAL)
            eventually(lambda: "in <module>" in stacks.read(), "the stacks are written")
            assert stacks.read().count("Thread 0x") == 1
            assert stacks.read().count("Current thread 0x") == 1
            assert f"in {how}\n" in stacks.read()
            assert "in waits\n" in stacks.read()
    finally:
        process.kill()
        process.communicate()
        stacks.close()


def test_it_does_not_grow() -> None:
    stacks = Stacks()
    program = (
        "import faulthandler, sys\n"
        f"for _ in range({SIZE} // 50): faulthandler.dump_traceback(int(sys.argv[1]))"
    )
    command = [sys.executable, "-c", program, str(stacks.fileno())]
    subprocess.run(command, pass_fds=[stacks.fileno()], check=True)
    assert SIZE - 100 < len(stacks.read()) <= SIZE
    stacks.close()
