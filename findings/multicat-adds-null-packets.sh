#!/bin/sh
# multicat (2.3) sends datagrams of seven packets only: it fills the last one of a transport stream with
# null packets, so a file that is sent, received and compared differs from the original. Debian's package,
# on Debian 12.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
chmod 755 "$folder"
cd "$folder"
apt-get download -qq multicat=2.3-1 2>/dev/null
dpkg -x multicat*.deb .
dpkg-deb -f multicat*.deb Package Version
timeout 60 python3 - <<'PYTHON'
import socket, subprocess, sys

SIZE, PACKETS, NULL = 188, 20, 0x1FFF

def packet(number):
    """Return a packet of PID 256 with a program clock reference, 10 ms after the one before."""
    base = number * 900  # at 90 kHz
    clock = (base << 15 | 0x7E00).to_bytes(6, "big")
    head = bytes([0x47, 0x01, 0x00, 0x30 | number & 15, 7, 0x10]) + clock
    return head.ljust(SIZE, b"\xff")

with open("film.ts", "wb") as file:
    file.write(b"".join(map(packet, range(PACKETS))))
subprocess.run(["usr/bin/ingests", "-p", "256", "film.ts"], check=True, stderr=subprocess.DEVNULL)
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver:
    receiver.bind(("127.0.0.1", 0))
    receiver.settimeout(2)
    to = f"127.0.0.1:{receiver.getsockname()[1]}"
    subprocess.run(["usr/bin/multicat", "-U", "film.ts", to], check=True, stderr=subprocess.DEVNULL)
    received = b""
    try:
        while True:
            received += receiver.recv(65536)
    except TimeoutError:
        pass
pids = [int.from_bytes(received[at + 1 : at + 3], "big") & 0x1FFF
        for at in range(0, len(received), SIZE)]
print(f"{PACKETS} packets sent, {len(pids)} received, {pids.count(NULL)} of them null packets")
sys.exit(not (len(pids) > PACKETS and pids.count(NULL) == len(pids) - PACKETS))
PYTHON
