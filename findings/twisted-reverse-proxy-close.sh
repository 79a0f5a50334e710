#!/bin/sh
# twisted.web.proxy.ReverseProxyResource has its server close after each response, and passes the
# server's "Connection: close" on to its client, though the field is for one hop only (RFC 9110,
# 7.6.1). A client that obeys connects again for each request. Nothing requires it to: the proxy has
# not closed, and answers a second request on the same connection.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --disable-pip-version-check twisted==26.10.0 2>/dev/null
"$folder/venv/bin/python" - <<'PYTHON'
import socket, sys, threading

import twisted
from twisted.internet import reactor
from twisted.web.proxy import ReverseProxyResource
from twisted.web.resource import Resource
from twisted.web.server import Site

class Page(Resource):
    isLeaf = True

    def render_GET(self, request):
        return b"hello"

asked = []  # the Connection field of each request that the server has received

def serve(listener):
    """Answer one request for each connection, as RFC 9112, 9.6, says for one that wants a close."""
    while True:
        stream, _ = listener.accept()
        with stream, stream.makefile("rb") as lines:
            head = list(iter(lines.readline, b"\r\n"))
            asked.extend(line.split(b":")[1].strip().decode() for line in head
                         if line.lower().startswith(b"connection:"))
            stream.sendall(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 5\r\n\r\nhello")

def client(port):
    """Send two requests on one connection: return the Connection field of the first response, and
    whether there was a second."""
    request = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
    with socket.create_connection(("127.0.0.1", port), 5) as sock:
        lines = sock.makefile("rb")
        sock.sendall(request)
        status = lines.readline()
        assert status.startswith(b"HTTP/1.1 200 "), status
        fields = {}
        while (line := lines.readline().strip()):
            name, _, value = line.decode().partition(": ")
            fields[name.lower()] = value
        assert lines.read(5) == b"hello"
        try:
            sock.sendall(request)
            again = lines.readline().startswith(b"HTTP/1.1 200 ")
        except ConnectionError:
            again = False
    return fields.get("connection"), again

seen = []

def play():
    for name, port in ("a Site of its own", page), ("ReverseProxyResource", proxy):
        field, again = client(port)
        print(f"{name}: Connection: {field}, then {'a' if again else 'no'} second response")
        seen.append((field, again))
    print(f"ReverseProxyResource asks its server with Connection: {asked[0]}")
    reactor.callFromThread(reactor.stop)

print("Twisted", twisted.__version__)
listener = socket.create_server(("127.0.0.1", 0))
threading.Thread(target=serve, args=(listener,), daemon=True).start()
page = reactor.listenTCP(0, Site(Page()), interface="127.0.0.1").getHost().port
behind = Site(ReverseProxyResource("127.0.0.1", listener.getsockname()[1], b""))
proxy = reactor.listenTCP(0, behind, interface="127.0.0.1").getHost().port
threading.Thread(target=play, daemon=True).start()
reactor.callLater(20, reactor.stop)
reactor.run()
sys.exit((seen, asked[:1]) != ([(None, True), ("close", True)], ["close"]))
PYTHON
