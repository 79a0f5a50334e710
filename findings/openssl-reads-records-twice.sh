#!/bin/sh
# Over a socket OpenSSL reads each TLS record with two read(2): 5 bytes of header, then the rest. Its
# read_ahead would make it one; Python's ssl has no switch for it. So an SSLSocket costs a server
# three system calls for a request and its response, where SSLObject over MemoryBIO costs two.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=localhost \
    -keyout "$folder/pem" -out "$folder/crt" 2>/dev/null
cat "$folder/crt" >>"$folder/pem"
python3 - "$folder/pem" <<'PYTHON'
import socket, ssl, sys, threading

RECORDS = 100
print(sys.version.split()[0], ssl.OPENSSL_VERSION)
server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
server.load_cert_chain(sys.argv[1])
server.num_tickets = 0
client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
client.check_hostname, client.verify_mode = False, ssl.CERT_NONE
here, there = socket.socketpair()
secured = []
thread = threading.Thread(target=lambda: secured.append(client.wrap_socket(there)))
thread.start()
end = server.wrap_socket(here, server_side=True)
thread.join()

def reads():
    """How often this thread has called read(2), this call included."""
    with open("/proc/thread-self/io") as file:
        return int(file.read().split("syscr: ")[1].split()[0])

alone = reads()
alone = reads() - alone
before = reads()
for _ in range(RECORDS):
    secured[0].send(b"request")
    assert end.recv(4096) == b"request"
calls = (reads() - before - alone) / RECORDS
print(f"read(2) for each record: {calls:.2f}")
sys.exit(calls != 2)
PYTHON
