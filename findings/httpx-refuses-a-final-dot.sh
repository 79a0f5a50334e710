#!/bin/sh
# httpx (0.28) and Python's urllib do not get a URL of https whose host name ends with a dot (a name that
# DNS takes as it is, without search domains): they send the dot in SNI, which has none (RFC 6066,
# section 3), and no certificate has a name with it, so verification fails. requests removes the dot.
# Reported for httpx in 2026 (encode/httpcore#1063).
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --disable-pip-version-check httpx==0.28.1 httpcore==1.0.9 \
    requests==2.34.2 urllib3==2.8.0 trustme==1.2.1 2>/dev/null
timeout 60 "$folder/venv/bin/python" - "$folder" <<'PYTHON'
import http.server, os, socket, ssl, sys, threading, urllib.error, urllib.request

for name in [name for name in os.environ if name.lower().endswith("_proxy")]:
    del os.environ[name]
import httpx, requests, trustme

NAME = "server.example"
resolve = socket.getaddrinfo
socket.getaddrinfo = lambda host, *rest, **more: resolve(          # stands for a DNS server
    "127.0.0.1" if host in (NAME, NAME + ".") else host, *rest, **more)

class Server(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_):
        pass

class Quiet(http.server.ThreadingHTTPServer):
    def handle_error(self, *_):                                     # a client that ends the handshake
        pass

authority, trusted = trustme.CA(), f"{sys.argv[1]}/authority.pem"
authority.cert_pem.write_to_path(trusted)
asked = []
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
authority.issue_cert(NAME).configure_cert(context)
context.sni_callback = lambda _, name, __: asked.append(name)
server = Quiet(("127.0.0.1", 0), Server)
server.socket = context.wrap_socket(server.socket, server_side=True)
threading.Thread(target=server.serve_forever, daemon=True).start()
verify = ssl.create_default_context(cafile=trusted)

CLIENTS = {
    "httpx": lambda url: httpx.get(url, verify=verify),
    "urllib": lambda url: urllib.request.urlopen(url, context=verify).close(),
    "requests": lambda url: requests.get(url, verify=trusted),
}

def got(get, host):
    """Return the server name that a client sends, and whether it gets the URL."""
    asked.clear()
    try:
        get(f"https://{host}:{server.server_port}/")
    except (httpx.ConnectError, urllib.error.URLError, requests.exceptions.SSLError) as error:
        if "certificate verify failed" not in str(error):
            raise
        return asked[0], False
    return asked[0], True

print(f"Python {sys.version.split()[0]}, httpx {httpx.__version__}, requests {requests.__version__}")
seen = {}
for client, get in CLIENTS.items():
    if got(get, NAME) != (NAME, True):
        sys.exit(f"{client} does not get the URL without a final dot")
    seen[client] = got(get, NAME + ".")
    print(f"{client}: server name {seen[client][0]},",
          "got" if seen[client][1] else "the certificate is refused")
sys.exit(seen != {"httpx": (NAME + ".", False), "urllib": (NAME + ".", False),
                  "requests": (NAME, True)})
PYTHON
