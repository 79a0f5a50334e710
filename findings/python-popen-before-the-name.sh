#!/bin/sh
# subprocess.Popen returns when the exec of the child has closed its descriptors, and Linux closes them
# before it gives the process its new name and arguments. So psutil, and all that reads /proc, often
# sees the command line and name of the parent in a child that has just been started.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --disable-pip-version-check psutil==7.0.0 2>/dev/null
timeout 60 "$folder/venv/bin/python" - <<'PYTHON'
import platform, subprocess, sys, time
from importlib.metadata import version

import psutil

print(f"psutil {version('psutil')}, Python {platform.python_version()}, {platform.release()}")
own = psutil.Process().cmdline()
at_once = later = 0
RUNS = 200
for _ in range(RUNS):
    child = subprocess.Popen(["sleep", "60"])
    process = psutil.Process(child.pid)
    at_once += process.cmdline() != ["sleep", "60"]
    time.sleep(0.02)
    later += process.cmdline() != ["sleep", "60"]
    child.kill()
    child.wait()
print(f"of {RUNS} children, not yet `sleep 60` after Popen: {at_once}; 20 ms later: {later}")
sys.exit(not (at_once > later == 0))
PYTHON
