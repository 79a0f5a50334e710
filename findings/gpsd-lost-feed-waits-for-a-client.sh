#!/bin/sh
# gpsd (3.22) does not connect again to a tcp:// feed that has closed the connection, not even while a
# client watches: the client stays connected and gets nothing, until another client sends ?WATCH. Then
# gpsd connects at once, and both get sentences. It runs with -n ("do not wait for a client").
# Debian's package, on Debian 12.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
apt-get download -qq gpsd=3.22-4.1+deb12u1 libgps28=3.22-4.1+deb12u1 \
    libusb-1.0-0 libdbus-1-3 libbluetooth3 2>/dev/null
for package in *.deb; do dpkg -x "$package" .; done
LD_LIBRARY_PATH=$folder/$(dirname "$(find . -name 'libgps.so.28' | head -1)")
export LD_LIBRARY_PATH
timeout 90 python3 - <<'PYTHON'
import socket, subprocess, sys, time
from datetime import datetime, timezone
from functools import reduce
from operator import xor

print(subprocess.check_output(["usr/sbin/gpsd", "-V"], text=True).strip())

def fix():
    """Return the sentences of a fix of now."""
    now = datetime.now(timezone.utc)
    texts = (f"GPGGA,{now:%H%M%S},4807.038,N,01131.000,E,1,08,0.9,545.4,M,46.9,M,,",
             f"GPRMC,{now:%H%M%S},A,4807.038,N,01131.000,E,022.4,084.4,{now:%d%m%y},003.1,W,A")
    return "".join(f"${text}*{reduce(xor, text.encode(), 0):02X}\r\n" for text in texts).encode()

def watching(port):
    """Return a client that has asked for sentences."""
    for _ in range(100):
        try:
            client = socket.create_connection(("127.0.0.1", port), 10)
            break
        except ConnectionRefusedError:
            time.sleep(0.1)
    client.sendall(b'?WATCH={"enable":true,"nmea":true};\n')
    return client

def gets_sentences(client, feed):
    """Return whether a client gets a sentence, while the feed sends some."""
    client.settimeout(0.5)
    got = b""
    for _ in range(10):
        feed.sendall(fix())
        try:
            got += client.recv(65536)
        except TimeoutError:
            pass
    return b"$GPRMC" in got

listener = socket.create_server(("127.0.0.1", 0))
listener.settimeout(20)
with socket.create_server(("127.0.0.1", 0)) as probe:
    port = probe.getsockname()[1]
feed_at = f"tcp://127.0.0.1:{listener.getsockname()[1]}"
gpsd = subprocess.Popen(["usr/sbin/gpsd", "-N", "-n", "-S", str(port), feed_at],
                        stderr=subprocess.DEVNULL)
try:
    feed, _ = listener.accept()
    first = watching(port)
    if not gets_sentences(first, feed):
        sys.exit("the client gets nothing: nothing can be compared")
    feed.close()
    try:
        listener.accept()
        sys.exit("gpsd has connected again by itself")
    except TimeoutError:
        print("20 s after the feed has closed: not connected again, though a client watches")
    second = watching(port)
    feed, _ = listener.accept()
    print("after another ?WATCH: connected again")
    both = [gets_sentences(client, feed) for client in (first, second)]
    print(f"the clients get sentences: {both}")
finally:
    gpsd.kill()
    gpsd.wait()
sys.exit(both != [True, True])
PYTHON
