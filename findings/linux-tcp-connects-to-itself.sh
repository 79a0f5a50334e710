#!/bin/sh
# A client that tries again and again to connect to a port of this host where nothing listens may
# succeed: if the port is in the range of ephemeral ports, the kernel gives it that very port, and TCP
# connects the socket to itself (simultaneous open, RFC 9293, 3.5). redis-py then reads its own
# command, so the server that it waits for seems to talk nonsense, and cannot start: its port is taken,
# also for SO_REUSEADDR, and for a minute longer by TIME_WAIT. Linux gives connect() ports of the
# parity of the range's beginning first, so it happens with half of the ports only.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --disable-pip-version-check redis==5.2.1 2>/dev/null
timeout 170 "$folder/venv/bin/python" - <<'PYTHON'
import platform, socket, sys, time
from importlib.metadata import version

import redis

print(f"redis-py {version('redis')}, {platform.system()} {platform.release()}")
with open("/proc/sys/net/ipv4/ip_local_port_range") as file:
    low, high = map(int, file.read().split())


def free(parity):
    """Return a port of the range with this parity where nothing listens."""
    for port in range(low + (low + high) // 7 % 2 + 5000, high):
        if port % 2 == parity:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)):
                    return port
    sys.exit("no free port")


def attempts(port, most):
    """Connect until it succeeds; return after how many attempts; None: never."""
    for count in range(1, most + 1):
        sock = socket.socket()
        if not sock.connect_ex(("127.0.0.1", port)):
            itself = sock.getsockname() == sock.getpeername()
            # A reset: no TIME_WAIT is left behind.
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            sock.close()
            assert itself
            return count
        sock.close()
    return None


same, other = free(low % 2), free(1 - low % 2)
found = attempts(same, 200_000)
print(f"range {low} to {high}; port {same}: connected to itself after {found} attempts")
print(f"port {other}: {'never' if attempts(other, 50_000) is None else 'too'} in 50000 attempts")

client = redis.Redis(port=same, socket_timeout=1, protocol=2, lib_name=None, lib_version=None)
reply, count, end = None, 0, time.monotonic() + 100
while reply is None and time.monotonic() < end:
    count += 1
    try:
        reply = client.execute_command("PING")
    except redis.exceptions.ConnectionError:
        pass  # refused
    except redis.exceptions.RedisError as error:
        reply = error
print(f"redis-py, PING where no server listens, attempt {count}: {reply!r}")
server = socket.socket()
server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
try:
    server.bind(("127.0.0.1", same))
    taken = ""
except OSError as error:
    taken = error.strerror
print(f"the server's bind with SO_REUSEADDR: {taken or 'succeeds'}")
sys.exit(not (found and reply is not None and taken))
PYTHON
