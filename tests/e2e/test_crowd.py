"""Many clients; each behaves well or badly, chosen at random from its number as the seed."""

from __future__ import annotations

import random
import socket
import ssl
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.e2e.conftest import Certificates, Starter
from tests.e2e.running import ECHO, all_of, forward, reset

CLIENTS = 400


@pytest.mark.parametrize("kind", ["plain", "unix", "tls"])
def test_well_behaved_clients_get_every_byte_back(
    proxy: Starter, certificates: Certificates, kind: str
) -> None:
    certificate, key = certificates.issue("localhost")
    tls = f'tls = {{ certificate = "{certificate}", key = "{key}" }}'
    trust = f'tls = {{ ca = "{certificates.ca}" }}'
    threads = "[proxy]\nnet_threads = 3\n"
    if kind == "plain":
        echo = proxy(threads + ECHO)
        running = proxy(threads + forward(echo.uri("echo")))
    elif kind == "unix":
        echo = proxy(threads + ECHO.replace("tcp://127.0.0.1:0", "unix:echo.sock"))
        running = proxy(threads + forward(echo.uri("echo"), bind="unix:in.sock"))
    else:
        echo = proxy(threads + ECHO.replace("tcp:", "tls:") + tls + "\n")
        running = proxy(
            threads
            + forward(
                echo.uri("echo"), bind="tls://127.0.0.1:0", listener=tls, upstream=trust
            ).replace('["tls://127.0.0.1', '["tls://localhost')
        )
    trusting = ssl.create_default_context(cafile=str(certificates.ca))

    def converse(number: int) -> bool:
        """Whether the result is as expected; a client that resets expects nothing."""
        chance = random.Random(number)
        client = running.connect("in")
        payload = chance.randbytes(chance.choice([0, 1, 100, 5_000, 300_000]))
        try:
            if kind == "tls":
                client = trusting.wrap_socket(client, server_hostname="localhost")
            manner = chance.choice(["orderly", "orderly", "reset", "close", "rude"])
            if manner == "orderly":
                with ThreadPoolExecutor(1) as pool:
                    reading = pool.submit(receive, client, len(payload))
                    client.sendall(payload)
                    if not isinstance(client, ssl.SSLSocket):
                        client.shutdown(socket.SHUT_WR)
                    return reading.result() == payload
            client.sendall(payload[: len(payload) // 2])
            if manner == "reset":
                reset(client)
            elif manner == "rude" and payload[1:]:
                client.recv(1)  # the rest stays unread
            return True
        except ConnectionError:
            return manner != "orderly"
        finally:
            client.close()

    with ThreadPoolExecutor(16) as crowd:
        assert all(crowd.map(converse, range(CLIENTS)))


def receive(client: socket.socket, size: int) -> bytes:
    """Return the received data: until the end of the stream, or `size` bytes with TLS."""
    if not isinstance(client, ssl.SSLSocket):
        return all_of(client)
    data = bytearray()
    while len(data) < size:
        data += client.recv(1 << 16)
    return bytes(data)
