"""NATS subjects as VCs, against a real server."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from time import monotonic

import pytest

from tests.drivers.nats_server import PATIENCE_S, Peer, Server
from tests.engine.world import EventRecorder
from vcproxy.drivers.epoll import EpollDriver
from vcproxy.engine.address import Address
from vcproxy.engine.engine import Engine
from vcproxy.engine.log_function import Level
from vcproxy.engine.net import NetVConnection
from vcproxy.relay.options import RelayOptions, RelaySource, Target
from vcproxy.relay.relay import Relay
from vcproxy.sessions.programs import Programs
from vcproxy.sessions.service import Service

LOST = ("the server has closed the connection", "connection reset by peer", "broken pipe")
"""The errors after a server was killed: which one depends on the data in flight."""

TURNS = 3000
"""Limit of turns, of 10 ms each, for a condition to hold."""


class Proxy:
    """A driver, and its log."""

    def __init__(self) -> None:
        self.log: list[str] = []
        self.engine = Engine("net", memory=1 << 30, random=Random(0), log=self._write)
        self.driver = EpollDriver(self.engine)

    def _write(self, level: Level, text: str, error: Exception | None = None) -> None:
        self.log.append(f"{level}: {text}" + (f" ({error!r})" if error else ""))

    def until(self, condition: Callable[[], object]) -> None:
        """Turn until a condition holds."""
        for _ in range(TURNS):
            if condition():
                return
            self.driver.turn(0.01)
        raise AssertionError(f"the condition does not hold; log: {self.log}")

    def elapse(self, seconds: float) -> None:
        """Turn for a time."""
        until = monotonic() + seconds
        while monotonic() < until:
            self.driver.turn(0.01)

    def posted(self) -> None:
        """Wait for a call from another thread, without running it."""
        until = monotonic() + PATIENCE_S
        while not self.engine.inbox.fed:
            assert monotonic() < until, "no call was posted"

    def subscribe(self, uri: str) -> Subscription:
        """Open a VC that subscribes to a subject."""
        return Subscription(self, uri)

    def publish(self, uri: str) -> Publication:
        """Open a VC that publishes to a subject."""
        return Publication(self, uri)


class Line:
    """An open VC, and the continuation that has opened it."""

    def __init__(self, proxy: Proxy, uri: str, subscribes: bool) -> None:
        self._proxy = proxy
        self.recorder = EventRecorder(proxy.engine)
        start = proxy.engine.subscribe if subscribes else proxy.engine.connect
        with self.recorder.mutex.hold(proxy.engine):
            self.vc: NetVConnection = start(self.recorder, Address.parse(uri), timeout=20)
        proxy.until(lambda: self.recorder.events)

    def close(self, error: Exception | None = None) -> None:
        """Close the VC, and wait until the engine has removed it."""
        with self.vc.mutex.hold(self._proxy.engine):
            self.vc.do_io_close(error)
        self._proxy.until(lambda: self.vc not in self._proxy.engine.vcs)

    def fails(self) -> str:
        """Wait until the VC fails; return the error's text."""
        self._proxy.until(lambda: self.vc.error)
        return str(self.vc.error)


class Subscription(Line):
    """A VC that subscribes, and its received messages."""

    def __init__(self, proxy: Proxy, uri: str) -> None:
        super().__init__(proxy, uri, subscribes=True)

    def read(self, water_mark: int = 1 << 20) -> None:
        """Start to read."""
        self.recorder.buffer = self._proxy.engine.buffer(water_mark, message_oriented=True)
        self.recorder.incoming = self.recorder.buffer.reader()
        with self.recorder.mutex.hold(self._proxy.engine):
            self.vc.do_io_read(self.recorder, None, self.recorder.buffer)

    def take(self, count: int) -> list[bytes]:
        """Wait for the next messages and return them."""
        taken: list[bytes] = []

        def enough() -> bool:
            while self.recorder.incoming.blocks and len(taken) < count:
                taken.append(self.recorder.incoming.read_block())
                if self.vc.read_vio is not None:
                    self.vc.read_vio.reenable()
            return len(taken) == count

        self._proxy.until(enough)
        return taken


class Publication(Line):
    """A VC that publishes."""

    def __init__(self, proxy: Proxy, uri: str) -> None:
        super().__init__(proxy, uri, subscribes=False)
        self.recorder.outward = proxy.engine.buffer(message_oriented=True)
        self.recorder.outgoing = self.recorder.outward.reader()

    def send(self, *messages: bytes) -> None:
        """Write messages, and wait until the VIO has counted all of them as sent."""
        self.write(*messages)
        self._proxy.until(lambda: self.vc.error or not self.recorder.outgoing.avail)
        assert self.vc.error is None

    def write(self, *messages: bytes) -> None:
        """Write messages."""
        for message in messages:
            self.recorder.outward.write(message)
        with self.recorder.mutex.hold(self._proxy.engine):
            self.vc.do_io_write(self.recorder, None, self.recorder.outgoing)


@pytest.fixture
def proxy() -> Iterator[Proxy]:
    proxy = Proxy()
    yield proxy
    proxy.driver.close()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    server = Server(tmp_path)
    server.start()
    yield server
    server.kill()


@pytest.fixture
def peer(server: Server) -> Iterator[Peer]:
    peer = Peer(server)
    yield peer
    peer.close()


def numbered(count: int) -> list[bytes]:
    return [b"message %d" % number for number in range(count)]


# -- publishing ------------------------------------------------------------------------------


def test_each_block_is_a_message(proxy: Proxy, server: Server, peer: Peer) -> None:
    peer.subscribe("orders.*")
    line = proxy.publish(server.uri("orders.new"))
    assert line.vc.message_oriented
    assert line.vc.peer == server.uri("orders.new")
    line.send(*numbered(3000))
    assert peer.receive(3000) == numbered(3000)
    line.close()


def test_sent_messages_are_delivered_before_a_close(
    proxy: Proxy, server: Server, peer: Peer
) -> None:
    peer.subscribe("orders")
    line = proxy.publish(server.uri("orders"))
    messages = [b"%d " % number + b"x" * 1000 for number in range(3000)]
    line.send(*messages)
    line.close()
    assert peer.receive(3000) == messages


def test_publishing_queues_no_more_than_the_window(proxy: Proxy, server: Server) -> None:
    line = proxy.publish(server.uri("orders"))
    line.write(*[b"x" * 100_000] * 100)
    proxy.driver.turn(0)
    proxy.driver.turn(0)
    taken = line.vc.write_vio.ndone if line.vc.write_vio else 0
    assert 0 < taken < 5_000_000
    proxy.until(lambda: not line.recorder.outgoing.avail)


def test_a_message_that_is_too_large_is_dropped_and_the_others_are_sent(
    proxy: Proxy, server: Server, peer: Peer
) -> None:
    peer.subscribe("orders")
    line = proxy.publish(server.uri("orders"))
    line.send(b"before", b"x" * (1 << 20) + b"x", b"x" * (1 << 20), b"after")
    assert [len(message) for message in peer.receive(3)] == [6, 1 << 20, 5]
    proxy.until(lambda: proxy.log)
    assert proxy.log == [
        f"warning: {server.uri('orders')}: 1 message dropped: "
        "larger than the server's limit of 1048576 bytes"
    ]
    assert line.vc.error is None


def test_unconfirmed_messages_are_counted_when_the_server_is_killed(
    proxy: Proxy, server: Server
) -> None:
    line = proxy.publish(server.uri("orders"))
    server.pause()
    line.send(*numbered(10))
    server.kill()
    assert line.fails() in [f"{gone}; 10 messages may be lost with it" for gone in LOST]
    line.close()


def test_a_stream_confirms_the_messages_it_has_stored(
    proxy: Proxy, server: Server, peer: Peer
) -> None:
    peer.add_stream("ORDERS", "orders.>", max_msg_size=1000)
    line = proxy.publish(server.uri("orders.new?stream=ORDERS"))
    line.send(*numbered(500), b"x" * 1001, b"the end")
    line.close()
    assert peer.stored("ORDERS") == 501
    proxy.until(lambda: proxy.log)
    assert proxy.log[0].endswith("1 message dropped: larger than stream ORDERS allows")


@pytest.mark.parametrize(
    ("subject", "why"),
    [
        ("orders.>", "orders.> has a wildcard: publishing needs one subject"),
        ("orders?durable=d", "durable= is for subscribing, not for publishing"),
        ("orders?stream=S", "stream not found"),
        ("other?stream=REAL", "other belongs to stream OTHER"),
        ("elsewhere?stream=REAL", "no stream holds elsewhere"),
    ],
)
def test_subjects_that_cannot_be_published_to(
    proxy: Proxy, server: Server, peer: Peer, subject: str, why: str
) -> None:
    peer.add_stream("REAL", "real")
    peer.add_stream("OTHER", "other")
    line = proxy.publish(server.uri(subject))
    assert line.fails() == why
    line.close()


# -- subscribing ----------------------------------------------------------------------------


def test_each_message_is_a_block(proxy: Proxy, server: Server, peer: Peer) -> None:
    line = proxy.subscribe(server.uri("orders.*"))
    assert line.vc.message_oriented
    line.read()
    peer.publish("orders.new", *numbered(3000), b"", b"x" * (1 << 20))
    assert line.take(3002) == [*numbered(3000), b"", b"x" * (1 << 20)]
    line.close()


def test_odd_subjects(proxy: Proxy, server: Server, peer: Peer) -> None:
    line = proxy.subscribe(server.uri("d%C3%A9j%C3%A0.%2A.%3E"))
    line.read()
    peer.publish("d\u00e9j\u00e0.$vu.a-b.c", b"encore")
    assert line.take(1) == [b"encore"]
    line.close()
    line = proxy.subscribe(server.uri("a%2Ab.%3E"))
    assert line.fails() == "invalid subject"
    line.close()


def test_messages_dropped_for_a_slow_reader_are_counted(
    proxy: Proxy, server: Server, peer: Peer
) -> None:
    line = proxy.subscribe(server.uri("orders"))
    for _ in range(30):
        peer.publish("orders", b"x" * (1 << 20))
    proxy.until(lambda: proxy.log)
    assert "dropped: received faster than read" in proxy.log[0]
    assert line.vc.missed > 0
    line.read()
    line.take(10)
    line.close()


def test_the_status_of_a_relay_counts_messages_missed_because_of_a_blocking_sink(
    proxy: Proxy, server: Server, peer: Peer
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as sink:  # a server that reads nothing
        to = Address.parse(f"tcp://127.0.0.1:{sink.getsockname()[1]}")
        source = Address.parse(server.uri("orders"))
        options = RelayOptions(source=(RelaySource(source),), targets=(Target(to, on_lag="block"),))
        programs = Programs(proxy.driver.engine, print)
        programs.acceptor(Relay, Service("relay", options=options))
        relay = programs["relay"]
        assert isinstance(relay, Relay)
        proxy.until(lambda: all(sink.up for sink in relay.status().sinks))
        proxy.until(lambda: bool(relay.status().producers))
        assert "missed" not in relay.status().counts
        for _ in range(40):
            peer.publish("orders", b"x" * (1 << 20))
        proxy.until(lambda: relay.status().counts.get("missed"))
        programs.stop_others(())
        proxy.until(lambda: not proxy.driver.engine.vcs)


def test_missing_permissions_are_errors(proxy: Proxy, tmp_path: Path) -> None:
    configuration = tmp_path / "nats.conf"
    configuration.write_text("""
        authorization { users = [
            { user: bob, password: "a:b", permissions: { publish: "open", subscribe: "open" } }
            { user: eve, password: "e" }
        ] }
    """)
    server = Server(tmp_path, "-c", str(configuration))
    server.start()
    try:
        for user, why in [
            ("bob:wrong", "authorization violation"),
            ("", "authorization violation"),
        ]:
            line = proxy.subscribe(server.uri("open", user))
            assert line.fails() == why
            line.close()
        line = proxy.subscribe(server.uri("closed", "bob:a%3Ab"))
        assert line.fails() == 'permissions violation for subscription to "closed"'
        line.close()
        publisher = proxy.publish(server.uri("closed", "bob:a%3Ab"))
        publisher.write(b"not permitted")
        assert publisher.fails().startswith('permissions violation for publish to "closed"')
        publisher.close()
        subscriber, publisher = (
            proxy.subscribe(server.uri("open", "eve:e")),
            proxy.publish(server.uri("open", "bob:a%3Ab")),
        )
        subscriber.read()
        publisher.send(b"hello")
        assert subscriber.take(1) == [b"hello"]
    finally:
        server.kill()


def test_without_a_server_the_connection_is_refused(proxy: Proxy, tmp_path: Path) -> None:
    server = Server(tmp_path)
    for line in (proxy.subscribe(server.uri("orders")), proxy.publish(server.uri("orders"))):
        assert line.fails() == "connection refused"
        line.close()


def test_a_connect_may_be_cancelled(proxy: Proxy, server: Server) -> None:
    recorder = EventRecorder(proxy.engine)
    with recorder.mutex.hold(proxy.engine):
        vc = proxy.engine.connect(recorder, Address.parse(server.uri("orders")))
        vc.do_io_close()
    proxy.until(lambda: vc not in proxy.engine.vcs)
    with recorder.mutex.hold(proxy.engine):
        vc = proxy.engine.connect(recorder, Address.parse(server.uri("orders")))
    proxy.driver.turn(0)
    with recorder.mutex.hold(proxy.engine):
        vc.do_io_close()
    proxy.until(lambda: vc not in proxy.engine.vcs)
    assert recorder.events == []


def test_a_killed_server_fails_the_vc_and_lost_messages_are_counted(
    proxy: Proxy, server: Server, peer: Peer
) -> None:
    line = proxy.subscribe(server.uri("orders"))
    proxy.driver.turn(0)
    peer.publish("orders", b"one")
    proxy.posted()
    server.kill()
    assert line.fails() in [f"{gone}; 1 message lost with it" for gone in LOST]
    line.close()


# -- JetStream -------------------------------------------------------------------------------


def test_a_durable_source_waits_for_a_stalled_reader(
    proxy: Proxy, server: Server, peer: Peer
) -> None:
    peer.add_stream("ORDERS", "orders")
    messages = [b"%d " % number + b"x" * 10_000 for number in range(3000)]
    peer.publish("orders", *messages)
    line = proxy.subscribe(server.uri("orders?durable=relay"))
    line.read(water_mark=50_000)
    proxy.elapse(0.3)
    assert line.take(3000) == messages
    peer.publish("orders", b"", b"later")
    assert line.take(2) == [b"", b"later"]
    line.close()
    assert proxy.log == []


def test_a_durable_source_resumes_after_the_last_message(
    proxy: Proxy, server: Server, peer: Peer
) -> None:
    peer.add_stream("ORDERS", "orders")
    peer.publish("orders", *numbered(1000))
    line = proxy.subscribe(server.uri("orders?durable=relay&stream=ORDERS"))
    line.read(water_mark=100)
    received = line.take(300)
    line.close()
    received += line.take(line.recorder.incoming.blocks)
    assert received == numbered(len(received))
    line = proxy.subscribe(server.uri("orders?durable=relay"))
    line.read()
    while set(received) != set(numbered(1000)):
        received += line.take(1)
    assert len(received) < 1300, "not from the beginning"
    line.close()


def test_a_durable_source_loses_nothing_when_the_server_is_killed(
    proxy: Proxy, server: Server, peer: Peer
) -> None:
    peer.add_stream("ORDERS", "orders")
    consumer = {"durable_name": "relay", "ack_policy": "explicit", "ack_wait": 1_000_000_000}
    peer.request(
        "$JS.API.CONSUMER.DURABLE.CREATE.ORDERS.relay",
        {"stream_name": "ORDERS", "config": consumer},
    )
    peer.publish("orders", *numbered(2000))
    peer.flush()
    line = proxy.subscribe(server.uri("orders?durable=relay"))
    line.read(water_mark=100)
    received = set(line.take(700))
    server.kill()
    assert line.fails() in LOST
    received.update(line.take(line.recorder.incoming.blocks))
    line.close()
    server.start()
    line = proxy.subscribe(server.uri("orders?durable=relay"))
    line.read()
    while received != set(numbered(2000)):
        received.update(line.take(1))
    line.close()


def test_messages_that_wait_for_a_slow_reader_are_not_sent_again(
    proxy: Proxy, server: Server, peer: Peer
) -> None:
    peer.add_stream("ORDERS", "orders")
    consumer = {"durable_name": "relay", "ack_policy": "explicit", "ack_wait": 1_000_000_000}
    peer.request(
        "$JS.API.CONSUMER.DURABLE.CREATE.ORDERS.relay",
        {"stream_name": "ORDERS", "config": consumer},
    )
    peer.publish("orders", *numbered(200))
    line = proxy.subscribe(server.uri("orders?durable=relay"))
    proxy.elapse(1.5)
    line.read()
    assert line.take(200) == numbered(200)
    peer.publish("orders", b"the end")
    assert line.take(1) == [b"the end"]
    line.close()


@pytest.mark.parametrize(
    ("subject", "why"),
    [
        ("elsewhere?durable=d", "no stream holds elsewhere"),
        ("orders?stream=ORDERS", "subscribing to a stream needs durable=NAME"),
        ("orders?durable=d&stream=S", "stream not found"),
        ("orders?durable=push", "consumer push is a push consumer; use a pull consumer"),
        ("orders?durable=none", 'consumer none has ack policy "none"; it must be "explicit"'),
        ("orders?durable=other", "consumer other exists with subject orders.x"),
    ],
)
def test_subjects_that_cannot_be_subscribed_to(
    proxy: Proxy, server: Server, peer: Peer, subject: str, why: str
) -> None:
    peer.add_stream("ORDERS", "orders", "orders.x")
    for name, more in {
        "push": {"deliver_subject": "there", "ack_policy": "explicit"},
        "none": {"ack_policy": "none"},
        "other": {"ack_policy": "explicit", "filter_subject": "orders.x"},
    }.items():
        peer.request(
            f"$JS.API.CONSUMER.DURABLE.CREATE.ORDERS.{name}",
            {"stream_name": "ORDERS", "config": {"durable_name": name, **more}},
        )
    line = proxy.subscribe(server.uri(subject))
    assert line.fails() == why
    line.close()


def test_a_deleted_consumer_fails_the_vc(proxy: Proxy, server: Server, peer: Peer) -> None:
    peer.add_stream("ORDERS", "orders")
    line = proxy.subscribe(server.uri("orders?durable=d"))
    line.read()
    peer.publish("orders", b"one")
    assert line.take(1) == [b"one"]
    peer.request("$JS.API.CONSUMER.DELETE.ORDERS.d")
    assert line.fails().startswith("the durable consumer has ended: 409 Consumer Deleted")
    line.close()


REQUESTS = "$JS.API.CONSUMER.MSG.NEXT.ORDERS.d"


@pytest.fixture
def durable(proxy: Proxy, server: Server, peer: Peer) -> Iterator[tuple[Subscription, str]]:
    """A durable source, and the reply subject of its first pull request."""
    peer.add_stream("ORDERS", "orders")
    peer.subscribe(REQUESTS)
    line = proxy.subscribe(server.uri("orders?durable=d"))
    line.read()
    proxy.until(peer.readable)
    yield line, peer.receive_reply_to()
    line.close()


@pytest.mark.parametrize(
    ("status", "requests_again"),
    [
        ("100 Idle Heartbeat", False),
        ("404 No Messages", True),
        ("408 Request Timeout", True),
        ("409 Message Size Exceeds MaxBytes", True),
        ("409 Leadership Change", True),
        ("409 Server Shutdown", True),
        ("409 Batch Completed", False),  # the batch was counted: the next request is already sent
        ("409 Unknown Status", False),
    ],
)
def test_after_these_statuses_the_source_continues(
    status: str, requests_again: bool, proxy: Proxy, peer: Peer, durable: tuple[Subscription, str]
) -> None:
    line, reply_to = durable
    peer.publish_status(reply_to, status)
    if requests_again:
        proxy.until(peer.readable)
    else:
        proxy.elapse(0.2)
        assert not peer.readable()
    peer.publish("orders", b"one")
    assert line.take(1) == [b"one"]
    assert proxy.log == []


@pytest.mark.parametrize(
    "status",
    [
        "400 Bad Request",
        "409 Consumer Deleted",
        "409 Consumer is push based",
        "409 Exceeded MaxRequestBatch of 100",
        "503",
    ],
)
def test_these_statuses_end_the_source(
    status: str, peer: Peer, durable: tuple[Subscription, str]
) -> None:
    line, reply_to = durable
    peer.publish_status(reply_to, status)
    assert line.fails() == f"the durable consumer has ended: {status}"


# -- the library -----------------------------------------------------------------------------

WITHOUT = """
import sys
sys.modules["nats"] = None
from tests.drivers.test_nats import Proxy
proxy = Proxy()
line = proxy.subscribe("nats://127.0.0.1:1/orders")
print(line.fails())
line.close()
proxy.driver.close()
print(proxy.log)
"""


def test_a_missing_library_is_reported() -> None:
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT], capture_output=True, text=True, timeout=30, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [
        "nats: needs a library: pip install '.[nats]' in the checkout",
        "[]",
    ]
