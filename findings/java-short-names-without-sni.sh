#!/bin/sh
# Java (17) sends no server name (SNI) in TLS for a host name without a dot, such as the names of
# containers and services: a server or proxy that chooses by name then chooses its default. OpenSSL's
# s_client (3.0) does the same with the name that it connects to; with -servername it sends any name.
# Debian's packages, on Debian 12.
set -eu
folder=$(mktemp -d)
chmod 755 "$folder"
trap 'rm -rf "$folder"' EXIT
cd "$folder"
apt-get download -qq openjdk-17-jre-headless=17.0.21.1+2-1~deb12u1 \
    openssl=3.0.22-1~deb12u2 libssl3=3.0.22-1~deb12u2 2>/dev/null
for package in *.deb; do dpkg -x "$package" .; done
find usr/lib/jvm -lname '/etc/*' | while read -r link; do ln -sf "$folder$(readlink "$link")" "$link"; done
OPENSSL_LIBRARIES=$folder/$(dirname "$(find . -name 'libssl.so.3' | head -1)")
export OPENSSL_LIBRARIES
timeout 120 python3 - <<'PYTHON'
import os, socket, subprocess, sys

JAVA = "usr/lib/jvm/java-17-openjdk-amd64/bin/"
OPENSSL = {**os.environ, "LD_LIBRARY_PATH": os.environ["OPENSSL_LIBRARIES"]}
print(subprocess.run([JAVA + "java", "-version"], capture_output=True, text=True).stderr.splitlines()[0])
print(subprocess.check_output(["usr/bin/openssl", "version"], env=OPENSSL, text=True).strip())
with open("hosts", "w") as file:
    file.write("127.0.0.1 backend backend.example\n")

def exactly(connection, size):
    data = b""
    while len(data) < size:
        data += connection.recv(size - len(data)) or sys.exit("a ClientHello was cut short")
    return data

def names(command, env=None):
    """Run a client with "PORT" replaced; return the server name of its ClientHello, or None."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(60)
        port = str(server.getsockname()[1])
        client = subprocess.Popen([part.replace("PORT", port) for part in command], env=env,
                                  stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                  stderr=subprocess.DEVNULL)
        try:
            with server.accept()[0] as connection:
                connection.settimeout(60)
                hello = exactly(connection, int.from_bytes(exactly(connection, 5)[3:], "big"))
        finally:
            client.terminate()
            client.wait()
    at = 4 + 2 + 32                                           # handshake header, version, random
    at += 1 + hello[at]                                       # session id
    at += 2 + int.from_bytes(hello[at:at + 2], "big")         # cipher suites
    at += 1 + hello[at] + 2                                   # compression methods
    while at < len(hello):
        kind, size = (int.from_bytes(hello[at + i:at + i + 2], "big") for i in (0, 2))
        if kind == 0:                                         # server_name
            return hello[at + 9:at + 4 + size].decode()
        at += 4 + size
    return None

keytool = [JAVA + "keytool", "-J-Djdk.net.hosts.file=hosts", "-printcert", "-sslserver"]
s_client = ["usr/bin/openssl", "s_client", "-connect", "localhost:PORT"]
seen = {
    "java, backend.example": names([*keytool, "backend.example:PORT"]),
    "java, backend": names([*keytool, "backend:PORT"]),
    "s_client, localhost": names(s_client, OPENSSL),
    "s_client, localhost, -servername": names([*s_client, "-servername", "localhost"], OPENSSL),
}
for how, name in seen.items():
    print(f"{how}: {name or 'no name'}")
sys.exit(list(seen.values()) != ["backend.example", None, None, "localhost"])
PYTHON
