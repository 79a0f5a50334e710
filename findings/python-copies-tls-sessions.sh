#!/bin/sh
# Python copies a TLS session by encoding and decoding it each time that it is read from a connection
# and each time that one is given to a connection: 0.1 ms each with OpenSSL 3.0, most of it for the
# certificate in it. That is a third of the full handshake that it saves. It was a workaround for a
# fault of OpenSSL 1.1.0 (openssl/openssl#1550).
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=localhost \
    -addext subjectAltName=DNS:localhost -keyout "$folder/pem" -out "$folder/crt" 2>/dev/null
cat "$folder/crt" >>"$folder/pem"
python3 - "$folder/pem" <<'PYTHON'
import ssl, sys
from statistics import median
from time import process_time

print(sys.version.split()[0], ssl.OPENSSL_VERSION)
server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
server.load_cert_chain(sys.argv[1])
client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
client.load_verify_locations(sys.argv[1])
handshakes, copies = [], []
for _ in range(200):
    there, back = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = (client.wrap_bio(back, there, False, "localhost"), there, back), (
        server.wrap_bio(there, back, True), back, there
    )
    spent = 0.0
    open_ends = list(ends)
    while open_ends:
        for one in list(open_ends):
            begin = process_time()
            try:
                one[0].do_handshake()
                open_ends.remove(one)
            except ssl.SSLWantReadError:
                pass
            if one is ends[0]:
                spent += process_time() - begin
    handshakes.append(spent)
    begin = process_time()
    session = ends[0][0].session
    copies.append(process_time() - begin)
handshake, copy = median(handshakes) * 1e6, median(copies) * 1e6
print(f"full handshake of a client {handshake:.0f} us, reading its session {copy:.0f} us")
sys.exit(copy < handshake / 10)
PYTHON
