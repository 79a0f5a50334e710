#!/bin/sh
# nginx's stream module (1.22) takes 107 bytes of PROXY protocol, the most that version 1 needs, also in
# version 2, whose headers may be longer: it resets a client of HAProxy whose header has a unique id of
# 100 characters. nginx's http module takes the same header. Debian's packages, on Debian 12.
set -eu
folder=$(mktemp -d)
chmod 755 "$folder"
trap 'rm -rf "$folder"' EXIT
cd "$folder"
apt-get download -qq haproxy=2.6.12-1+deb12u4 liblua5.3-0 libopentracing-c-wrapper0 libopentracing1 \
    nginx=1.22.1-9+deb12u11 libnginx-mod-stream=1.22.1-9+deb12u11 2>/dev/null
for package in *.deb; do dpkg -x "$package" .; done
LD_LIBRARY_PATH=$folder/$(dirname "$(find . -name 'liblua5.3.so.0' | head -1)")
export LD_LIBRARY_PATH
timeout 60 python3 - <<'PYTHON'
import os, socket, subprocess, sys, time

folder = os.getcwd()
print(subprocess.check_output(["usr/sbin/haproxy", "-v"], text=True).splitlines()[0])
print(subprocess.run(["usr/sbin/nginx", "-v"], capture_output=True, text=True).stderr.strip())

def free_port():
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return probe.getsockname()[1]

BY_HTTP, BY_STREAM, SHORT, LONG, SHORT_HTTP, LONG_HTTP = (free_port() for _ in range(6))
with open("nginx.conf", "w") as file:
    file.write(f"""
load_module {folder}/usr/lib/nginx/modules/ngx_stream_module.so;
daemon off; master_process off; pid {folder}/nginx.pid; error_log {folder}/error.log info;
events {{ }}
stream {{ server {{ listen 127.0.0.1:{BY_STREAM} proxy_protocol; return "taken"; }} }}
http {{
  access_log off; client_body_temp_path t1; proxy_temp_path t2; fastcgi_temp_path t3;
  uwsgi_temp_path t4; scgi_temp_path t5;
  server {{ listen 127.0.0.1:{BY_HTTP} proxy_protocol; return 200 "taken"; }}
}}
""")
sections = "".join(f"""
listen l{port}
    bind 127.0.0.1:{port}
    unique-id-format {"u" * size}
    server s 127.0.0.1:{server} send-proxy-v2 proxy-v2-options unique-id
""" for port, server, size in ((SHORT, BY_STREAM, 10), (LONG, BY_STREAM, 100),
                                (SHORT_HTTP, BY_HTTP, 10), (LONG_HTTP, BY_HTTP, 100)))
with open("haproxy.cfg", "w") as file:
    file.write("defaults\n    mode tcp\n    timeout connect 5s\n    timeout client 5s\n"
               "    timeout server 5s\n" + sections)

def answered(port):
    """Return whether a client gets "taken"."""
    try:
        with socket.create_connection(("127.0.0.1", port), 10) as sock:
            sock.sendall(b"GET / HTTP/1.0\r\n\r\n")
            return b"taken" in b"".join(iter(lambda: sock.recv(4096), b""))
    except ConnectionError:
        return False

programs = [
    subprocess.Popen(["usr/sbin/nginx", "-p", folder, "-e", f"{folder}/error.log",
                      "-c", f"{folder}/nginx.conf"], stderr=subprocess.DEVNULL),
    subprocess.Popen(["usr/sbin/haproxy", "-f", "haproxy.cfg"]),
]
try:
    deadline = time.monotonic() + 15
    while not (answered(SHORT) and answered(SHORT_HTTP)):
        if time.monotonic() > deadline:
            sys.exit("the short header is not taken: nothing can be compared")
        time.sleep(0.1)
    seen = {"stream": answered(LONG), "http": answered(LONG_HTTP)}
finally:
    for program in programs:
        program.terminate()
        program.wait()
for module, taken in seen.items():
    print(f"{module}: a header of 131 bytes is {'taken' if taken else 'refused'}")
sys.exit(seen != {"stream": False, "http": True})
PYTHON
