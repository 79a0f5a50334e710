"""allow, deny and rate on real sockets: TCP, TLS, UDP, HTTP, several net threads and workers."""

from __future__ import annotations

import http.client
import socket
from contextlib import ExitStack, suppress

from tests.e2e.conftest import Certificates, Starter
from tests.e2e.running import ECHO, PATIENCE_S, Running, all_of
from tests.e2e.test_tls_terminated import echo as tls_echo

DENIED = "127.0.0.2"
"""The whole of 127.0.0.0/8 is this host."""


def served(running: Running, source: str = "127.0.0.1") -> bool:
    """Whether a connection from an address is served."""
    there = "127.0.0.1", running.port("echo")
    with socket.create_connection(there, PATIENCE_S, source_address=(source, 0)) as client:
        try:
            client.sendall(b"hello")
            client.shutdown(socket.SHUT_WR)
            return all_of(client) == b"hello"
        except ConnectionError:  # the proxy has closed it with unread data
            return False


def test_connections(proxy: Starter) -> None:
    running = proxy(ECHO + f'deny = ["{DENIED}"]\nrate = {{ requests = 3, per = "1h" }}\n')
    assert [served(running) for _ in range(4)] == [True, True, True, False]
    assert not served(running, DENIED)
    assert served(running, "127.0.0.3")
    running.wait_for(rf"WARNING echo: {DENIED} is refused: its address is in deny; 1 refused")
    running.wait_for("WARNING echo: 127.0.0.1 is refused: more than 3 per 1h for each client; 1")


def test_an_ipv4_client_of_an_ipv6_socket(proxy: Starter) -> None:
    text = ECHO.replace("tcp://127.0.0.1:0", "tcp://[::]:0") + f'deny = ["{DENIED}"]\n'
    running = proxy(text)
    assert served(running)
    assert not served(running, DENIED)


def test_a_denied_client_has_no_handshake(proxy: Starter, certificates: Certificates) -> None:
    running = proxy(tls_echo(certificates, listener='deny = ["127.0.0.0/8"]'))
    with running.connect("echo") as client:
        assert client.recv(1) == b""


def test_datagrams(proxy: Starter) -> None:
    text = ECHO.replace("tcp://", "udp://") + f'deny = ["{DENIED}"]\n'
    running = proxy(text + 'rate = { requests = 3, per = "1h" }\n')
    with ExitStack() as stack:

        def sender(source: str, count: int) -> socket.socket:
            """A client that has sent so many datagrams."""
            client = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
            client.settimeout(PATIENCE_S)
            client.bind((source, 0))
            for number in range(count):
                client.sendto(b"%d" % number, ("127.0.0.1", running.port("echo")))
            return client

        clients = [sender("127.0.0.1", 5), sender(DENIED, 5), sender("127.0.0.3", 2)]
        assert sender("127.0.0.4", 1).recv(99) == b"0", "so the others were handled before"
        assert [arrived(each) for each in clients] == [[b"0", b"1", b"2"], [], [b"0", b"1"]]


def arrived(client: socket.socket) -> list[bytes]:
    """The datagrams that have arrived."""
    client.setblocking(False)
    found = []
    with suppress(BlockingIOError):
        while True:
            found.append(client.recv(99))
    return found


def test_requests(proxy: Starter) -> None:
    running = proxy("""
[[listener]]
name = "echo"
bind = "tcp://127.0.0.1:0"
plugin = "http_proxy"
options.routes = [{ answer = { status = 200, body = "yes" } }]
rate = { requests = 3, per = "1h" }
deny = ["127.0.0.2"]
""")

    def statuses(source: str, count: int) -> list[tuple[int, bool]]:
        client = http.client.HTTPConnection(
            "127.0.0.1", running.port("echo"), timeout=PATIENCE_S, source_address=(source, 0)
        )
        found = []
        for _ in range(count):
            client.request("GET", "/")
            response = client.getresponse()
            response.read()
            after = response.getheader("Retry-After")
            found.append((response.status, after is not None and 0 < int(after) <= 1200))
        client.close()
        return found

    assert statuses("127.0.0.1", 5) == [(200, False)] * 3 + [(429, True)] * 2
    assert statuses("127.0.0.1", 1) == [(429, True)], "also on another connection"
    assert statuses("127.0.0.3", 1) == [(200, False)]
    assert statuses("127.0.0.2", 1) == [(403, False)]


def test_net_threads_share_the_buckets(proxy: Starter) -> None:
    text = "[proxy]\nnet_threads = 3\n" + ECHO + 'rate = { requests = 5, per = "1h" }\n'
    running = proxy(text)
    assert sum(served(running) for _ in range(15)) == 5


def test_workers_divide_the_rate_of_the_whole_listener(proxy: Starter) -> None:
    rates = """\
rate = [
    { requests = 3, per = "1h" },
    { for_each = "listener", requests = 20, per = "1h" },
]
"""
    running = proxy("[proxy]\nworkers = 2\n" + ECHO + rates)
    assert 3 <= sum(served(running) for _ in range(40)) <= 6
    assert sum(served(running, f"127.0.1.{number}") for number in range(60)) <= 17
