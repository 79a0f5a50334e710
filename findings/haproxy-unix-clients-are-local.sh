#!/bin/sh
# HAProxy announces the connections of clients of a Unix socket with the command LOCAL, in version 2 of
# the PROXY protocol. LOCAL is specified for connections of the proxy itself, such as health checks.
# So a server that closes or does not log LOCAL connections loses those clients. With version 1 the same
# clients are "PROXY UNKNOWN". Debian's package, on Debian 12.
set -eu
folder=$(mktemp -d)
chmod 755 "$folder"
trap 'rm -rf "$folder"' EXIT
cd "$folder"
apt-get download -qq haproxy=2.6.12-1+deb12u4 liblua5.3-0 libopentracing-c-wrapper0 libopentracing1 \
    2>/dev/null
for package in *.deb; do dpkg -x "$package" .; done
LD_LIBRARY_PATH=$(dirname "$(find . -name 'liblua5.3.so.0' | head -1)")
export LD_LIBRARY_PATH="$folder/$LD_LIBRARY_PATH"
timeout 60 python3 - <<'PYTHON'
import socket, subprocess, sys, time

print(subprocess.check_output(["usr/sbin/haproxy", "-v"], text=True).splitlines()[0])

def announced(client, option):
    """Return the start of what HAProxy sends to a server for a client that sends "hello"."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        with socket.create_server(("127.0.0.1", 0)) as probe:
            port = probe.getsockname()[1]
        bind = "bind unix@client.sock" if client == "unix" else f"bind 127.0.0.1:{port}"
        with open("haproxy.cfg", "w") as file:
            file.write(f"""
defaults
    mode tcp
    timeout connect 5s
    timeout client 5s
    timeout server 5s
listen l
    {bind}
    server s 127.0.0.1:{server.getsockname()[1]} {option}
""")
        proxy = subprocess.Popen(["usr/sbin/haproxy", "-f", "haproxy.cfg"])
        try:
            deadline = time.monotonic() + 10
            while True:
                sock = socket.socket(socket.AF_UNIX if client == "unix" else socket.AF_INET)
                try:
                    sock.connect("client.sock" if client == "unix" else ("127.0.0.1", port))
                    break
                except OSError:
                    sock.close()
                    if time.monotonic() > deadline:
                        raise
                    time.sleep(0.05)
            with sock:
                sock.sendall(b"hello")
                server.settimeout(10)
                accepted, _ = server.accept()
                with accepted:
                    accepted.settimeout(10)
                    data = b""
                    while not data.endswith(b"hello"):
                        data += accepted.recv(4096)
                return data
        finally:
            proxy.terminate()
            proxy.wait()

COMMANDS = {0x20: "LOCAL", 0x21: "PROXY"}
seen = {client: COMMANDS[announced(client, "send-proxy-v2")[12]] for client in ("unix", "tcp")}
seen["unix, version 1"] = announced("unix", "send-proxy").split(b"\r\n")[0].decode()
for client, command in seen.items():
    print(f"{client}: {command}")
sys.exit(seen != {"unix": "LOCAL", "tcp": "PROXY", "unix, version 1": "PROXY UNKNOWN"})
PYTHON
