#!/bin/sh
# getaddrinfo(3) of glibc takes a numeric port above 65535 and returns it modulo 65536, so a socket is
# bound to another port than was asked for. bind(2) by way of Python's socket.bind refuses such ports.
set -eu
timeout 20 python3 - <<'PYTHON'
import platform, socket, sys

found = socket.getaddrinfo("127.0.0.1", 65_536 + 53, type=socket.SOCK_DGRAM)
port = found[0][4][1]
print(f"{' '.join(platform.libc_ver())}: the port 65589 becomes {port}")
sys.exit(port != 53)
PYTHON
