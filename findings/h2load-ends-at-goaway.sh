#!/bin/sh
# h2load (1.52) does not connect again when a server ends a connection of HTTP/2 by GOAWAY, as nginx
# (1.22) does after keepalive_requests (1000): it counts all further requests as failed. With HTTP/1.1
# and the same limit it connects again and all succeed. Reported in 2018 (nghttp2/nghttp2#1197).
# Debian's packages, on Debian 12.
set -eu
folder=$(mktemp -d)
chmod 755 "$folder"
trap 'rm -rf "$folder"' EXIT
cd "$folder"
apt-get download -qq nginx=1.22.1-9+deb12u11 nghttp2-client=1.52.0-1+deb12u3 \
    libnghttp2-14=1.52.0-1+deb12u3 libev4=1:4.33-1 libjemalloc2 2>/dev/null
for package in *.deb; do dpkg -x "$package" .; done
H2LOAD_LIBRARIES=$folder/$(dirname "$(find . -name 'libev.so.4' | head -1)")
export H2LOAD_LIBRARIES
timeout 60 python3 - <<'PYTHON'
import os, re, socket, subprocess, sys, time

folder = os.getcwd()
H2LOAD = {**os.environ, "LD_LIBRARY_PATH": os.environ["H2LOAD_LIBRARIES"]}
print(subprocess.run(["usr/sbin/nginx", "-v"], capture_output=True, text=True).stderr.strip())
print(subprocess.check_output(["usr/bin/h2load", "--version"], env=H2LOAD, text=True).strip())

def free_port():
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return probe.getsockname()[1]

TWO, ONE = free_port(), free_port()
with open("nginx.conf", "w") as file:
    file.write(f"""
daemon off; master_process off; pid {folder}/nginx.pid; error_log {folder}/error.log info;
events {{ }}
http {{
  access_log off; client_body_temp_path t1; proxy_temp_path t2; fastcgi_temp_path t3;
  uwsgi_temp_path t4; scgi_temp_path t5;
  server {{ listen 127.0.0.1:{TWO} http2; return 200 "an answer"; }}
  server {{ listen 127.0.0.1:{ONE}; return 200 "an answer"; }}
}}
""")

def requests(port, *options):
    """Send 3000 requests by one client; return how many succeed and how many fail."""
    report = subprocess.run(["usr/bin/h2load", *options, "-n", "3000", "-c", "1",
                             f"http://127.0.0.1:{port}/"],
                            env=H2LOAD, capture_output=True, text=True, timeout=30).stdout
    found = re.search(r"(\d+) succeeded, (\d+) failed", report)
    return tuple(map(int, found.groups())) if found else sys.exit(f"h2load reports: {report}")

nginx = subprocess.Popen(["usr/sbin/nginx", "-p", folder, "-e", f"{folder}/error.log",
                          "-c", f"{folder}/nginx.conf"], stderr=subprocess.DEVNULL)
try:
    deadline = time.monotonic() + 15
    while True:
        try:
            socket.create_connection(("127.0.0.1", ONE)).close()
            break
        except OSError:
            if time.monotonic() > deadline:
                sys.exit("nginx does not answer")
            time.sleep(0.1)
    seen = {"HTTP/2": requests(TWO), "HTTP/1.1": requests(ONE, "--h1")}
finally:
    nginx.terminate()
    nginx.wait()
for version, (succeeded, failed) in seen.items():
    print(f"{version}: of 3000 requests {succeeded} succeed, {failed} fail")
sys.exit(seen != {"HTTP/2": (1000, 2000), "HTTP/1.1": (3000, 0)})
PYTHON
