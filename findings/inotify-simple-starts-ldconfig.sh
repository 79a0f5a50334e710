#!/bin/sh
# The first INotify() of inotify-simple starts child processes: it looks for the C library with
# ctypes.util.find_library, which runs `ldconfig -p`, and compilers where there is no ldconfig. So
# watching one file costs the launch of a program, and a process that handles SIGCHLD gets one that it
# has not caused.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --disable-pip-version-check inotify-simple==2.0.1 2>/dev/null
timeout 60 "$folder/venv/bin/python" - <<'PYTHON'
import platform, signal, sys, time
from importlib.metadata import version

from inotify_simple import INotify

received = []
signal.signal(signal.SIGCHLD, lambda number, frame: received.append(number))


def opened():
    """Open an instance; return its milliseconds and the signals that came until then."""
    del received[:]
    begin = time.perf_counter()
    INotify().close()
    return round(1000 * (time.perf_counter() - begin), 2), len(received)


print(f"inotify-simple {version('inotify-simple')}, Python {platform.python_version()}")
first, second = opened(), opened()
for which, (took, signals) in (("first", first), ("second", second)):
    print(f"{which} INotify(): {took} ms, SIGCHLD received: {signals}")
sys.exit(not (first[1] and not second[1]))
PYTHON
