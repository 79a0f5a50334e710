#!/bin/sh
# Caddy (2.6) sends the fields of a header directive with its own errors too, unless the directive's
# block also removes a field: then the whole block applies to the answers of handlers only, and the
# errors 404, 502 and so on have none of its fields. A directive of its own for "-Server" does without.
# Debian's package, on Debian 12.
set -eu
folder=$(mktemp -d)
chmod 755 "$folder"
trap 'rm -rf "$folder"' EXIT
cd "$folder"
apt-get download -qq caddy=2.6.2-5 2>/dev/null
for package in *.deb; do dpkg -x "$package" .; done
timeout 60 python3 - <<'PYTHON'
import http.client, os, socket, subprocess, sys, time

os.environ.update(HOME=os.getcwd(), XDG_DATA_HOME=os.getcwd(), XDG_CONFIG_HOME=os.getcwd())
print("caddy", subprocess.check_output(["usr/bin/caddy", "version"], text=True).strip())

def free_port():
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return probe.getsockname()[1]

SITES = {
    "one directive, set":             "header {\n X-Frame-Options DENY\n }",
    "one directive, set and removed": "header {\n X-Frame-Options DENY\n -Server\n }",
    "a directive for each":           "header X-Frame-Options DENY\n header -Server",
}
ports = {name: free_port() for name in SITES}
os.mkdir("files")
with open("files/there.txt", "w") as file:
    file.write("a file")
with open("Caddyfile", "w") as file:
    file.write("{\n admin off\n auto_https off\n}\n" + "".join(
        f"http://127.0.0.1:{ports[name]} {{\n root * files\n {lines}\n file_server\n}}\n"
        for name, lines in SITES.items()))

def answer(port, path):
    """Return the status of an answer, and whether it has the field."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        return response.status, response.getheader("X-Frame-Options") == "DENY"
    finally:
        connection.close()

with open("log", "w") as log:
    caddy = subprocess.Popen(["usr/bin/caddy", "run", "--config", "Caddyfile"], stderr=log)
try:
    deadline = time.monotonic() + 30
    while True:
        try:
            for port in ports.values():
                answer(port, "/there.txt")
            break
        except OSError:
            if time.monotonic() > deadline:
                sys.exit(f"caddy does not answer: {open('log').read()}")
            time.sleep(0.1)
    seen = {name: [answer(port, path) for path in ("/there.txt", "/missing.txt")]
            for name, port in ports.items()}
finally:
    caddy.terminate()
    caddy.wait()
for name, answers in seen.items():
    print(f"{name}:", ", ".join(f"{status} {'with' if has else 'without'} X-Frame-Options"
                                for status, has in answers))
sys.exit(list(seen.values()) != [[(200, True), (404, True)], [(200, True), (404, False)],
                                 [(200, True), (404, True)]])
PYTHON
