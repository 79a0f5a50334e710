"""Peers that are killed (SIGKILL) during a transfer, inside a TLS record, a chunk or a message. The
bytes that their kernel had accepted arrive, and the end is forwarded. The fixture `proxy` checks
the open descriptors after each test.
"""

from __future__ import annotations

import json
import mmap
import os
import resource
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from tests.e2e import pouring
from tests.e2e.conftest import Certificates, Starter
from tests.e2e.pouring import LINE, poured
from tests.e2e.running import PATIENCE_S, Running, Server, eventually, exactly, forward, free_port
from tests.e2e.test_bytes_before_an_error import Settings, same, tls, until_it_breaks
from tests.e2e.test_mirror import mirror
from tests.e2e.test_relay import relay
from tests.e2e.test_udp import BIND, SHORT, client, datagrams, uri
from tests.e2e.web import web

UNDER_WAY = 3_000_000
"""Bytes of a transfer that are received before its peer is killed."""

Moments = pytest.mark.parametrize("moment", ["flowing", "stuck"])
"""The peer is killed while the other side reads; or while the other side does not, until later."""


class Pourer:
    """A process that sends and counts; see `pouring`."""

    def __init__(self, account: Path, words: dict[str, Any]) -> None:
        account.write_bytes(bytes(pouring.ROOM))
        with account.open("r+b") as file:
            self._account = memoryview(mmap.mmap(file.fileno(), pouring.ROOM)).cast("Q")
        self._process = subprocess.Popen(
            [sys.executable, pouring.__file__, str(account), json.dumps(words)],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        assert self._process.stdout is not None
        listens = "connect" not in words
        self.port = int(self._process.stdout.readline()) if listens else 0

    @property
    def taken(self) -> int:
        """Minimum number of bytes that its kernel has accepted."""
        return self._account[0]

    def is_stuck(self) -> None:
        """Wait until its sending blocks, or everything is sent."""
        eventually(lambda: self._account[1] == 1, "it is blocked")

    def waiting(self) -> tuple[int, int]:
        """Return the number of bytes in its kernel that are unsent, and that are unread."""
        mine = {os.readlink(fd)[8:-1] for fd in Path(f"/proc/{self._process.pid}/fd").iterdir()}
        for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[9] in mine:
                unsent, unread = fields[4].split(":")
                return int(unsent, 16), int(unread, 16)
        raise AssertionError("it has no connection")

    def is_dead(self) -> None:
        """Wait until it has killed itself."""
        assert self._process.wait(PATIENCE_S) == -signal.SIGKILL

    def kill(self) -> None:
        """Kill it, unless it is dead."""
        self._process.kill()
        self._process.wait(PATIENCE_S)
        assert self._process.stdout is not None
        self._process.stdout.close()


class Pour:
    """Starts processes that send."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self.started: list[Pourer] = []

    def to(self, running: Running, name: str = "in", **words: Any) -> Pourer:
        """A client of a listener."""
        return self._start({"connect": ["127.0.0.1", running.port(name)], **words})

    def server(self, **words: Any) -> Pourer:
        """A server for one client."""
        return self._start(words)

    def datagrams_to(self, port: int, count: int) -> Pourer:
        """A process that sends `count` datagrams to the port, and kills itself."""
        return self._start({"connect": ["127.0.0.1", port], "sends_datagrams": count})

    def _start(self, words: dict[str, Any]) -> Pourer:
        one = Pourer(self._directory / f"account-{len(self.started)}", words)
        self.started.append(one)
        return one


@pytest.fixture
def pour(tmp_path: Path) -> Iterator[Pour]:
    pour = Pour(tmp_path)
    yield pour
    for each in pour.started:
        each.kill()


def killed(source: Pourer, sink: socket.socket, moment: str) -> tuple[bytes, int, str]:
    """Kill the source; return the received data, the bytes it had sent, and the connection's
    end."""
    first = b""
    if moment == "flowing":
        first = exactly(sink, UNDER_WAY)
    else:
        source.is_stuck()
    source.kill()
    rest, how = until_it_breaks(sink)
    return first + rest, source.taken, how


def nothing_lost(got: bytes, taken: int) -> None:
    """Check that the received data is equal to the sent data, and complete."""
    assert len(got) >= taken
    assert got == poured(len(got))


# -- forward -------------------------------------------------------------------------------------


@Settings
@Moments
def test_a_client_that_sends(proxy: Starter, pour: Pour, settings: str, moment: str) -> None:
    with Server() as server:
        running = proxy(f"[proxy]\n{settings}\n" + forward(server.uri))
        client = pour.to(running)
        with server.next() as accepted:
            got, taken, how = killed(client, accepted, moment)
    nothing_lost(got, taken)
    assert how == "ended"


@Settings
@Moments
def test_a_server_that_sends(proxy: Starter, pour: Pour, settings: str, moment: str) -> None:
    server = pour.server()
    running = proxy(f"[proxy]\n{settings}\n" + forward(f"tcp://127.0.0.1:{server.port}"))
    with running.connect("in") as client:
        got, taken, how = killed(server, client, moment)
    nothing_lost(got, taken)
    assert how == "ended"


@Settings
@pytest.mark.parametrize("which", ["client", "server"])
def test_with_something_unread(proxy: Starter, pour: Pour, settings: str, which: str) -> None:
    """The kernel of the killed peer resets: only its unsent data is lost."""
    with ExitStack() as stack:
        server = stack.enter_context(Server())
        sender = pour.server() if which == "server" else None
        uri = f"tcp://127.0.0.1:{sender.port}" if sender else server.uri
        running = proxy(f"[proxy]\n{settings}\n" + forward(uri))
        if sender:
            sink = stack.enter_context(running.connect("in"))
        else:
            sender = pour.to(running)
            sink = stack.enter_context(server.next())
        sender.is_stuck()
        sink.sendall(b"unread")
        eventually(lambda: sender.waiting()[1] == 6, "the unread data is there")
        lost, _ = sender.waiting()
        taken = sender.taken
        sender.kill()
        got, how = until_it_breaks(sink)
    nothing_lost(got, taken - lost)
    assert how == "reset"


@pytest.mark.parametrize("which", ["client", "server"])
@Settings
def test_one_that_is_sent_to(proxy: Starter, pour: Pour, settings: str, which: str) -> None:
    """The sender gets a reset."""
    with ExitStack() as stack:
        server = stack.enter_context(Server())
        reader = pour.server(size=0, reads=True) if which == "server" else None
        uri = f"tcp://127.0.0.1:{reader.port}" if reader else server.uri
        running = proxy(f"[proxy]\n{settings}\n" + forward(uri))
        if reader:
            source = stack.enter_context(running.connect("in"))
        else:
            reader = pour.to(running, size=0, reads=True)
            source = stack.enter_context(server.next())
        piece = poured(1_000_000)
        for _ in range(5):
            source.sendall(piece)
        reader.kill()
        with pytest.raises((ConnectionResetError, BrokenPipeError)):
            source.sendall(piece * 100)


# -- TLS -----------------------------------------------------------------------------------------


@Moments
def test_a_tls_client(proxy: Starter, pour: Pour, certificates: Certificates, moment: str) -> None:
    """Complete records are delivered, and an end without close_notify is a reset."""
    listener, _ = tls(certificates)
    with Server() as server:
        running = proxy(forward(server.uri, bind="tls://127.0.0.1:0", listener=listener))
        client = pour.to(running, ca=str(certificates.ca))
        with server.next() as accepted:
            got, taken, how = killed(client, accepted, moment)
    nothing_lost(got, taken)
    assert how == "reset"


@Moments
def test_a_tls_server(proxy: Starter, pour: Pour, certificates: Certificates, moment: str) -> None:
    certificate, key = certificates.issue("localhost")
    server = pour.server(certificate=str(certificate), key=str(key))
    trusting = f'tls = {{ ca = "{certificates.ca}" }}'
    running = proxy(forward(f"tls://localhost:{server.port}", upstream=trusting))
    with running.connect("in") as client:
        got, taken, how = killed(server, client, moment)
    nothing_lost(got, taken)
    assert how == "reset"


# -- HTTP ----------------------------------------------------------------------------------------

BODIES = pytest.mark.parametrize("chunked", [False, True], ids=["length", "chunked"])


def framing(chunked: bool) -> str:
    return "Transfer-Encoding: chunked" if chunked else f"Content-Length: {1 << 40}"


def bodied(data: bytes, chunked: bool) -> bytes:
    """Return the data of a body after its head, in complete chunks or a part of one."""
    _, _, rest = data.partition(b"\r\n\r\n")
    if not chunked:
        return rest
    body = bytearray()
    at = 0
    while (end := rest.find(b"\r\n", at)) >= 0:
        size = int(rest[at:end], 16)
        assert size, "the body looks complete"
        body += rest[end + 2 : end + 2 + size]
        at = end + 2 + size + 2
    return bytes(body)


@Moments
@BODIES
def test_a_client_within_its_request(
    proxy: Starter, pour: Pour, chunked: bool, moment: str
) -> None:
    head = f"POST / HTTP/1.1\r\nHost: a\r\n{framing(chunked)}\r\n\r\n"
    with Server() as server:
        running = proxy(web(server.uri))
        client = pour.to(running, head=head, chunked=chunked)
        with server.next() as accepted:
            got, taken, how = killed(client, accepted, moment)
        running.wait_for("400 for <POST .*: client: .*(inside the body|before its last chunk)")
    nothing_lost(bodied(got, chunked), taken)
    assert how == "ended"


@Moments
@BODIES
def test_a_server_within_its_answer(proxy: Starter, pour: Pour, chunked: bool, moment: str) -> None:
    server = pour.server(
        until="\r\n\r\n", head=f"HTTP/1.1 200 OK\r\n{framing(chunked)}\r\n\r\n", chunked=chunked
    )
    running = proxy(web(f"tcp://127.0.0.1:{server.port}"))
    with running.connect("in") as client:
        client.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        got, taken, how = killed(server, client, moment)
        running.wait_for("response aborted: <GET [^>]*>.*: server: ")
    nothing_lost(bodied(got, chunked), taken)
    assert how == "reset"


# -- messages ------------------------------------------------------------------------------------


def validate(uri: str) -> str:
    options = "options = { pattern = '[0-9]+' }"
    return forward(uri, listener=options).replace('"forward"', '"validate"')


@Moments
def test_a_validated_client(proxy: Starter, pour: Pour, moment: str) -> None:
    with Server() as server:
        running = proxy(validate(server.uri))
        client = pour.to(running)
        with server.next() as accepted:
            got, taken, how = killed(client, accepted, moment)
    nothing_lost(got, taken // LINE * LINE)
    assert len(got) % LINE == 0, "a partial message was forwarded"
    assert how == "ended"


def test_a_validated_client_within_a_message(proxy: Starter, pour: Pour) -> None:
    with Server() as server:
        running = proxy(validate(server.uri))
        client = pour.to(running, size=5 * LINE + LINE // 2)
        with server.next() as accepted:
            got, _, how = killed(client, accepted, "stuck")
            assert got == poured(5 * LINE)
            assert how == "ended"
        running.wait_for("stream ended inside a message")


@Moments
def test_a_validated_clients_server(proxy: Starter, pour: Pour, moment: str) -> None:
    server = pour.server(until="\n")
    running = proxy(validate(f"tcp://127.0.0.1:{server.port}"))
    with running.connect("in") as client:
        client.sendall(b"1\n")
        got, taken, how = killed(server, client, moment)
    nothing_lost(got, taken)
    assert how == "ended"


def split(uri: str) -> str:
    options = 'options = { unanswered = "gone" }'
    return forward(uri, listener=options).replace('"forward"', '"split"')


def test_a_client_of_a_split_within_a_request(proxy: Starter, pour: Pour) -> None:
    """Clients that share the server connection continue."""
    with Server() as server:
        running = proxy(split(server.uri))
        with running.connect("in") as other:
            client = pour.to(running, size=5 * LINE + LINE // 2)
            with server.next() as accepted:
                assert exactly(accepted, 5 * LINE) == poured(5 * LINE)
                client.is_stuck()
                client.kill()
                other.sendall(b"other\n")
                assert exactly(accepted, 6) == b"other\n"
                accepted.sendall(b"".join(b"%d\n" % n for n in range(5)) + b"to other\n")
                assert exactly(other, 9) == b"to other\n"


def test_a_server_of_a_split_within_an_answer(proxy: Starter, pour: Pour) -> None:
    server = pour.server(until="\n", size=5 * LINE + LINE // 2)
    with Server() as second:
        running = proxy(split(f'tcp://127.0.0.1:{server.port}", "{second.uri}'))
        with running.connect("in") as client:
            client.sendall(b"ask\n" * 8)
            assert exactly(client, 5 * LINE) == poured(5 * LINE)
            server.is_stuck()
            server.kill()
            assert exactly(client, 15) == b"gone\n" * 3
            client.sendall(b"again\n")
            with second.next() as accepted:
                assert exactly(accepted, 6) == b"again\n"
                accepted.sendall(b"yes\n")
                assert exactly(client, 4) == b"yes\n"


# -- relay and mirror ----------------------------------------------------------------------------


@pytest.mark.parametrize("messages", ["lines", "none"])
@Moments
def test_a_producer(proxy: Starter, pour: Pour, messages: str, moment: str) -> None:
    """Its subscribers stay connected, and receive from the next producer."""
    running = proxy(relay('on_lag = "block"', framing=messages))
    with running.connect("feed.subscribers") as first, running.connect("feed.subscribers") as other:
        running.wait_for(": sink connected; 2 sinks")
        producer = pour.to(running, "feed")
        received: dict[socket.socket, bytearray] = {first: bytearray(), other: bytearray()}
        go_on = [Thread(target=listen, args=(sock, data)) for sock, data in received.items()]
        if moment == "stuck":
            producer.is_stuck()
        for each in go_on:
            each.start()
        eventually(lambda: len(received[first]) >= UNDER_WAY, "so much is received")
        producer.kill()
        running.wait_for(": producer closed: ")
        with running.connect("feed") as following:
            following.sendall(b"the last\n")
            for each in go_on:
                each.join(PATIENCE_S)
    whole = LINE if messages == "lines" else 1
    for data in received.values():
        assert data.endswith(b"the last\n")
        del data[-9:]
        nothing_lost(bytes(data), producer.taken // whole * whole)
        assert len(data) % whole == 0


def listen(sock: socket.socket, received: bytearray) -> None:
    """Receive all until the last line."""
    while not received.endswith(b"the last\n"):
        piece = sock.recv(1 << 16)
        if not piece:
            return
        received += piece


@Moments
def test_a_subscriber(proxy: Starter, pour: Pour, moment: str) -> None:
    """Other subscribers are not affected."""
    running = proxy(relay('on_lag = "block"'))
    with running.connect("feed.subscribers") as other:
        running.wait_for(": sink connected; 1 sink$")
        subscriber = pour.to(running, "feed.subscribers", size=0, reads=moment == "flowing")
        running.wait_for(": sink connected; 2 sinks")
        producer = pour.to(running, "feed", size=4 * UNDER_WAY)
        if moment == "stuck":
            producer.is_stuck()
        first = exactly(other, UNDER_WAY)
        subscriber.kill()
        rest = exactly(other, 4 * UNDER_WAY - len(first))
        assert first + rest == poured(4 * UNDER_WAY)
        running.wait_for(": sink closed: ")
        producer.kill()


@Moments
def test_a_mirrored_client(proxy: Starter, pour: Pour, moment: str) -> None:
    """The mirror reads all the time; in the case "stuck" the primary reads only after the kill."""
    with Server() as server, Server() as second, ThreadPoolExecutor() as thread:
        running = proxy(mirror(server.uri, second.uri, options='max_lag = "32MiB"'))
        client = pour.to(running)
        with server.next() as accepted, second.next() as mirrored:
            behind = thread.submit(until_it_breaks, mirrored)
            got, taken, how = killed(client, accepted, moment)
            same(behind.result(PATIENCE_S), got, "ended")
    nothing_lost(got, taken)
    assert how == "ended"


@pytest.mark.parametrize("which", ["primary", "mirror"])
def test_a_mirrored_server(proxy: Starter, pour: Pour, which: str) -> None:
    server, second = pour.server(), pour.server()
    primary, other = (f"tcp://127.0.0.1:{each.port}" for each in (server, second))
    running = proxy(mirror(primary, other, options="compare = false"))
    with running.connect("in") as client:
        if which == "primary":
            got, taken, how = killed(server, client, "flowing")
            nothing_lost(got, taken)
            assert how == "ended"
        else:
            first = exactly(client, UNDER_WAY)
            second.kill()
            client.sendall(b"to both")
            running.wait_for(f"mirror {other}: a connection failed: (broken pipe|connection reset)")
            assert first + exactly(client, UNDER_WAY) == poured(2 * UNDER_WAY)


# -- datagrams -----------------------------------------------------------------------------------

BURST, READ = 200, 50
"""The number of datagrams in a burst, and how many a peer reads before it is killed."""


def burst(begin: int, end: int) -> Iterator[bytes]:
    for number in range(begin, end):
        yield poured(LINE, number * LINE)


def test_a_server_of_datagrams_within_a_burst(proxy: Starter, pour: Pour) -> None:
    """Earlier data is delivered, other sessions continue, and the client gets the next server."""
    server = pour.server(reads_datagrams=READ)
    with datagrams() as second:
        running = proxy(
            forward(f"udp://127.0.0.1:{server.port}", uri(second), bind=BIND, listener=SHORT)
        )
        with client(running) as one, client(running) as other:
            one.send(next(burst(0, 1)))
            eventually(lambda: server.taken == 1, "its first")
            other.send(b"other")
            _, session = second.recvfrom(100)
            for data in burst(1, BURST):
                one.send(data)
            server.is_dead()
            assert server.taken == READ

            def next_server() -> bool:
                other.send(b"still there")
                assert second.recvfrom(100) == (b"still there", session)
                one.send(b"again")
                second.settimeout(0.05)
                try:
                    _, its = second.recvfrom(100)
                    return bool(its != session)
                except TimeoutError:
                    return False
                finally:
                    second.settimeout(PATIENCE_S)

            eventually(next_server, "the next server for the first client")
            running.wait_for("connection refused")
        eventually(lambda: running.descriptors() <= running.idle_descriptors, "sessions have ended")


def test_a_client_of_datagrams_within_a_burst(proxy: Starter, pour: Pour) -> None:
    with datagrams() as server:
        running = proxy(forward(uri(server), bind=BIND, listener=SHORT))
        one = pour.to(running, reads_datagrams=READ, head="ask")
        _, session = server.recvfrom(100)
        with client(running) as other:
            for data in burst(0, BURST):
                server.sendto(data, session)
            one.is_dead()
            assert one.taken == READ
            other.send(b"other")
            data, its = server.recvfrom(100)
            for data in burst(0, BURST):
                server.sendto(data, session)
                server.sendto(data, its)
                assert other.recv(100) == data
        eventually(lambda: running.descriptors() <= running.idle_descriptors, "sessions have ended")


def test_a_sink_of_datagrams_within_a_burst(proxy: Starter, pour: Pour) -> None:
    """The other sinks of a relay get all data."""
    sink = pour.server(reads_datagrams=READ)
    with datagrams() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        targets = f'["udp://127.0.0.1:{sink.port}", "{uri(other)}"]'
        running = proxy(relay(f'on_lag = "block"\ntargets = {targets}'))
        running.wait_for(": sink connected; 2 sinks")
        running.idle_descriptors = running.descriptors()
        with running.connect("feed") as producer:
            for begin in (0, BURST):
                producer.sendall(b"".join(burst(begin, begin + BURST)))
                for data in burst(begin, begin + BURST):
                    assert other.recv(100) == data
                sink.is_dead()
            assert sink.taken == READ


def test_a_source_of_datagrams_within_a_burst(proxy: Starter, pour: Pour) -> None:
    """Subscribers receive all its data, and then the data of the next source."""
    here = free_port(socket.SOCK_DGRAM)
    running = proxy(
        relay(f'on_lag = "block"\nsource = "udp://127.0.0.1:{here}"', framing="datagram").replace(
            'bind = "tcp://127.0.0.1:0"\n', "", 1
        )
    )
    running.wait_for(": producer connected$")
    running.idle_descriptors = running.descriptors()
    with running.connect("feed.subscribers") as subscriber, datagrams() as following:
        running.wait_for(": sink connected; 1 sink")
        source = pour.datagrams_to(here, READ)
        source.is_dead()
        assert exactly(subscriber, READ * LINE) == poured(READ * LINE)
        following.sendto(b"next", ("127.0.0.1", here))
        assert exactly(subscriber, 4) == b"next"


@pytest.fixture
def many_descriptors() -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


CROWD = 1000


@pytest.mark.usefixtures("many_descriptors")
def test_a_server_of_a_thousand_sessions(proxy: Starter, pour: Pour) -> None:
    server = pour.server(reads_datagrams=CROWD)
    listener = 'timeouts = { inactivity = "5m" }'
    with ExitStack() as stack:
        running = proxy(forward(f"udp://127.0.0.1:{server.port}", bind=BIND, listener=listener))
        clients = [stack.enter_context(client(running)) for _ in range(CROWD)]
        for number, each in enumerate(clients, 1):
            each.send(poured(LINE, (number - 1) * LINE))
            if number % 50 == 0:
                eventually(lambda: server.taken == number, "they are received")  # noqa: B023
        server.is_dead()
        assert running.descriptors() >= running.idle_descriptors + CROWD
        for each in clients:
            each.send(b"again")
        eventually(lambda: running.descriptors() <= running.idle_descriptors, "sessions have ended")


# -- a crowd -------------------------------------------------------------------------------------

CROWDS: dict[str, tuple[Callable[[str], str], str, str]] = {
    "forward": (forward, "", "in"),
    "http_proxy": (web, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9000000\r\n\r\n", "in"),
    "validate": (validate, "", "in"),
    "split": (split, "", "in"),
    "mirror": (lambda uri: mirror(uri, uri), "", "in"),
    "relay": (lambda _: relay('on_lag = "disconnect"'), "", "feed.subscribers"),
}


@pytest.mark.parametrize("plugin", CROWDS)
@pytest.mark.usefixtures("many_descriptors")
def test_a_thousand_clients_at_once(proxy: Starter, pour: Pour, plugin: str) -> None:
    """All are killed while they send; the fixture `proxy` checks the open descriptors
    afterwards."""
    text, head, listener = CROWDS[plugin]
    with Server(backlog=4096) as server:
        running = proxy(text(server.uri))
        crowd = pour.to(running, listener, crowd=CROWD, head=head)
        crowd.is_stuck()
        eventually(
            lambda: running.descriptors() >= running.idle_descriptors + CROWD, "all are accepted"
        )
        if plugin == "relay":
            pour.to(running, "feed", size=UNDER_WAY).is_stuck()
        crowd.kill()
        if plugin in ("http_proxy", "relay"):
            eventually(
                lambda: running.descriptors() <= running.idle_descriptors + 1, "they have gone"
            )
    eventually(
        lambda: running.descriptors() <= running.idle_descriptors + 1, "so have their servers"
    )
