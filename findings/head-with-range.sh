#!/bin/sh
# nginx (1.22) and Caddy (2.6) answer HEAD with a Range field by 206 and the length of the range. Range
# is defined for GET only, and servers must ignore it with other methods (RFC 9110, section 14.2).
# Debian's packages, on Debian 12.
set -eu
folder=$(mktemp -d)
chmod 755 "$folder"
trap 'rm -rf "$folder"' EXIT
cd "$folder"
apt-get download -qq caddy=2.6.2-5 nginx=1.22.1-9+deb12u11 2>/dev/null
for package in *.deb; do dpkg -x "$package" .; done
timeout 60 python3 - <<'PYTHON'
import http.client, os, socket, subprocess, sys, time

folder = os.getcwd()
os.environ.update(HOME=folder, XDG_DATA_HOME=folder, XDG_CONFIG_HOME=folder)
print(subprocess.run(["usr/sbin/nginx", "-v"], capture_output=True, text=True).stderr.strip())
print("caddy", subprocess.check_output(["usr/bin/caddy", "version"], text=True).strip())

def free_port():
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return probe.getsockname()[1]

ports = {name: free_port() for name in ("nginx", "caddy")}
os.mkdir("files")
with open("files/a.txt", "w") as file:
    file.write("a" * 5000)
with open("nginx.conf", "w") as file:
    file.write(f"""
daemon off; master_process off; pid {folder}/nginx.pid; error_log {folder}/error.log info;
events {{ }}
http {{
  access_log off; client_body_temp_path t1; proxy_temp_path t2; fastcgi_temp_path t3;
  uwsgi_temp_path t4; scgi_temp_path t5;
  server {{ listen 127.0.0.1:{ports["nginx"]}; root {folder}/files; }}
}}
""")
with open("Caddyfile", "w") as file:
    file.write(f"""{{
  admin off
  auto_https off
}}
http://127.0.0.1:{ports["caddy"]} {{
  root * files
  file_server
}}
""")

def answer(port, **fields):
    """Return the status and the length of an answer to HEAD; None: there is no answer."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("HEAD", "/a.txt", headers=fields)
        response = connection.getresponse()
        return response.status, response.getheader("Content-Length")
    except OSError:
        return None
    finally:
        connection.close()

with open("log", "w") as log:
    programs = [subprocess.Popen(command, stderr=log) for command in (
        ["usr/sbin/nginx", "-p", folder, "-e", f"{folder}/error.log", "-c", f"{folder}/nginx.conf"],
        ["usr/bin/caddy", "run", "--config", "Caddyfile"],
    )]
try:
    deadline = time.monotonic() + 30
    while not all(answer(port) == (200, "5000") for port in ports.values()):
        if time.monotonic() > deadline:
            sys.exit(f"not both of them send the file: {open('log').read()}")
        time.sleep(0.1)
    seen = {name: answer(port, Range="bytes=0-9") for name, port in ports.items()}
finally:
    for program in programs:
        program.terminate()
        program.wait()
for name, value in seen.items():
    print(f"{name}: HEAD with Range: status and Content-Length", *value)
sys.exit(set(seen.values()) != {(206, "10")})
PYTHON
