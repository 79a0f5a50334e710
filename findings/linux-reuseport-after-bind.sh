#!/bin/sh
# Linux lets further sockets bind to an address whose first socket set SO_REUSEPORT only after its
# bind(2), for TCP and UDP, and divides the clients among all of them. socket(7) says that the option
# must be set on each socket, the first one included, before bind(2). So the first bind needs no
# separate probe to find that another program uses the address, even one that sets the option.
set -eu
python3 - <<'PYTHON'
import platform, socket, sys

print(platform.system(), platform.release())


def opened(kind, port, before, after):
    sock = socket.socket(type=kind)
    if before:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    sock.bind(("127.0.0.1", port))
    if after:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    if kind == socket.SOCK_STREAM:
        sock.listen(1000)
    sock.setblocking(False)
    return sock


def count(sock):
    received = []
    try:
        while True:
            one = sock.accept() if sock.type == socket.SOCK_STREAM else sock.recvfrom(1)
            received.append(one)
    except BlockingIOError:
        return len(received)


as_seen = True
for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
    first = opened(kind, 0, False, True)
    port = first.getsockname()[1]
    second = opened(kind, port, True, False)
    try:
        opened(kind, port, False, True)
        refused = False
    except OSError:
        refused = True
    clients = [socket.socket(type=kind) for _ in range(200)]
    for client in clients:
        client.connect(("127.0.0.1", port))
        client.send(b"x")
    counts = count(first), count(second)
    print(f"{kind.name}: clients of each {counts}; a bind without the option is refused: {refused}")
    as_seen = as_seen and refused and sum(counts) == 200 and min(counts) > 50
sys.exit(not as_seen)
PYTHON
