#!/bin/sh
# nginx (1.22) and Caddy (2.6) compress responses of a server that have "Cache-Control: no-transform",
# which proxies must not change (RFC 9111, section 5.2.2.6). HAProxy (2.6) leaves them as they are.
# Debian's packages, on Debian 12.
set -eu
folder=$(mktemp -d)
chmod 755 "$folder"
trap 'rm -rf "$folder"' EXIT
cd "$folder"
apt-get download -qq caddy=2.6.2-5 haproxy=2.6.12-1+deb12u4 liblua5.3-0 \
    libopentracing-c-wrapper0 libopentracing1 nginx=1.22.1-9+deb12u11 2>/dev/null
for package in *.deb; do dpkg -x "$package" .; done
LD_LIBRARY_PATH=$folder/$(dirname "$(find . -name 'liblua5.3.so.0' | head -1)")
export LD_LIBRARY_PATH
timeout 60 python3 - <<'PYTHON'
import http.client, http.server, os, socket, subprocess, sys, threading, time

folder = os.getcwd()
os.environ.update(HOME=folder, XDG_DATA_HOME=folder, XDG_CONFIG_HOME=folder)
print(subprocess.check_output(["usr/sbin/haproxy", "-v"], text=True).splitlines()[0])
print(subprocess.run(["usr/sbin/nginx", "-v"], capture_output=True, text=True).stderr.strip())
print("caddy", subprocess.check_output(["usr/bin/caddy", "version"], text=True).strip())

class Server(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"  # HAProxy does not compress responses of 1.0

    def do_GET(self):
        body = b"a page that becomes shorter " * 200
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", str(len(body)))
        if self.path == "/no-transform":
            self.send_header("Cache-Control", "no-transform")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass

server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Server)
threading.Thread(target=server.serve_forever, daemon=True).start()
SERVER = f"127.0.0.1:{server.server_port}"

def free_port():
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return probe.getsockname()[1]

ports = {name: free_port() for name in ("nginx", "caddy", "haproxy")}
with open("nginx.conf", "w") as file:
    file.write(f"""
daemon off; master_process off; pid {folder}/nginx.pid; error_log {folder}/error.log info;
events {{ }}
http {{
  access_log off; client_body_temp_path t1; proxy_temp_path t2; fastcgi_temp_path t3;
  uwsgi_temp_path t4; scgi_temp_path t5; gzip on;
  server {{ listen 127.0.0.1:{ports["nginx"]}; location / {{ proxy_pass http://{SERVER}; }} }}
}}
""")
with open("Caddyfile", "w") as file:
    file.write(f"""{{
  admin off
  auto_https off
}}
http://127.0.0.1:{ports["caddy"]} {{
  encode gzip
  reverse_proxy {SERVER}
}}
""")
with open("haproxy.cfg", "w") as file:
    file.write(f"""
listen all
    mode http
    bind 127.0.0.1:{ports["haproxy"]}
    timeout connect 5s
    timeout client 5s
    timeout server 5s
    compression algo gzip
    compression type text/html
    server s {SERVER}
""")

def compressed(port, path):
    """Return whether the body of a response is compressed; None: there is no response."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("GET", path, headers={"Accept-Encoding": "gzip"})
        response = connection.getresponse()
        return response.read(2) == b"\x1f\x8b" if response.status == 200 else None
    except OSError:
        return None
    finally:
        connection.close()

with open("log", "w") as log:
    programs = [subprocess.Popen(command, stderr=log) for command in (
        ["usr/sbin/nginx", "-p", folder, "-e", f"{folder}/error.log", "-c", f"{folder}/nginx.conf"],
        ["usr/bin/caddy", "run", "--config", "Caddyfile"],
        ["usr/sbin/haproxy", "-f", "haproxy.cfg"],
    )]
try:
    deadline = time.monotonic() + 30
    while not all(compressed(port, "/") for port in ports.values()):
        if time.monotonic() > deadline:
            sys.exit(f"not all of them compress: {open('log').read()}")
        time.sleep(0.1)
    seen = {name: compressed(port, "/no-transform") for name, port in ports.items()}
finally:
    for program in programs:
        program.terminate()
        program.wait()
for name, value in seen.items():
    print(f"{name}: a response with no-transform is {'compressed' if value else 'not compressed'}")
sys.exit(seen != {"nginx": True, "caddy": True, "haproxy": False})
PYTHON
