#!/bin/sh
# MLLPClient.send_message() of python-hl7 returns what one recv() of 4096 bytes returns, not an
# acknowledgement. If one arrives in two segments, or is longer, the caller gets its beginning, and
# its rest as the answer to the next message. MLLP marks the end of each message, so a reader
# can find it; the asyncio reader of the same library does.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --disable-pip-version-check hl7==0.4.5 2>/dev/null
"$folder/venv/bin/python" - <<'PYTHON'
import socket, sys, threading
from importlib.metadata import version

from hl7.client import MLLPClient

ACK = "\x0bMSH|^~\\&|B||A||20261130||ACK|{0}|P|2.5\rMSA|AA|{0}\r\x1c\r"
returned = threading.Event()

def serve(listener):
    """Acknowledge two messages, the first one in two segments."""
    stream, _ = listener.accept()
    with stream:
        first = ACK.format(1).encode()
        assert stream.recv(4096)
        stream.sendall(first[:20])
        returned.wait(10)
        stream.sendall(first[20:])
        assert stream.recv(4096)
        stream.sendall(ACK.format(2).encode())

print("hl7", version("hl7"))
listener = socket.create_server(("127.0.0.1", 0))
threading.Thread(target=serve, args=(listener,), daemon=True).start()
answers = []
with MLLPClient("127.0.0.1", listener.getsockname()[1]) as client:
    for number in 1, 2:
        answers.append(client.send_message(f"MSH|^~\\&|A||B||20261130||ADT^A01|{number}|P|2.5\r"))
        print(f"the answer to message {number}: {answers[-1]}")
        returned.set()
first = ACK.format(1).encode()
sys.exit(not (answers[0] == first[:20] and answers[1].startswith(first[20:])))
PYTHON
