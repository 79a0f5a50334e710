#!/bin/sh
# uvicorn's health check of its workers (--timeout-worker-healthcheck) is answered by a thread of its
# own in each worker. It finds a worker that is stopped, but not one whose event loop hangs: when the
# loops of all workers hang, the server answers no request, and no worker is replaced.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --disable-pip-version-check uvicorn==0.54.0 2>/dev/null
cat > "$folder/app.py" <<'PYTHON'
import os, time

async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        return
    if scope["path"] == "/hang":
        time.sleep(3600)  # in the thread of the event loop: as a lock that is never released
    body = str(os.getpid()).encode()
    fields = [(b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": fields})
    await send({"type": "http.response.body", "body": body})
PYTHON
cd "$folder"
timeout 90 "$folder/venv/bin/python" - <<'PYTHON'
import os, signal, socket, subprocess, sys, time
from importlib.metadata import version

WORKERS, TIMEOUT_S, WATCHED_S = 2, 1, 10

def get(path):
    """Send a request; return the pid of the worker that answers, None if none does in 2 s."""
    try:
        with socket.create_connection(("127.0.0.1", port), 2) as sock:
            sock.sendall(f"GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n".encode())
            reply = b"".join(iter(lambda: sock.recv(4096), b""))
    except (ConnectionError, TimeoutError):
        return None
    return int(reply.rpartition(b"\r\n")[2])

def running():
    """Return the pids of the processes that the master has started."""
    with open(f"/proc/{master.pid}/task/{master.pid}/children") as children:
        return set(map(int, children.read().split()))

def until(condition, seconds):
    """Wait until the condition holds; return whether it does."""
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        time.sleep(0.1)
    return bool(condition())

print("uvicorn", version("uvicorn"))
with socket.create_server(("127.0.0.1", 0)) as free:
    port = free.getsockname()[1]
command = [sys.executable, "-m", "uvicorn", "app:app", "--workers", str(WORKERS), "--port", str(port)]
command += ["--timeout-worker-healthcheck", str(TIMEOUT_S), "--log-level", "critical"]
master = subprocess.Popen(command, start_new_session=True)
try:
    workers = set()
    assert until(lambda: workers.add(get("/")) or len(workers - {None}) == WORKERS, 30)
    workers.discard(None)
    for _ in workers:
        get("/hang")
    dead = get("/") is None
    replaced = until(lambda: not workers <= running(), WATCHED_S)
    os.kill(min(workers), signal.SIGSTOP)
    stopped = until(lambda: not workers <= running(), WATCHED_S)
finally:
    os.killpg(master.pid, signal.SIGKILL)
    master.wait()
print(f"{WORKERS} workers hang: no answer: {dead}; one is replaced within {WATCHED_S} s, with a health"
      f" check of {TIMEOUT_S} s: {replaced}; a stopped worker is replaced: {stopped}")
sys.exit((dead, replaced, stopped) != (True, False, True))
PYTHON
