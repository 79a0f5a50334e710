"""HTTP conversations of clients, proxy and servers under random faults, checked with h11.

VCPROXY_SEEDS sets the number of seeds, VCPROXY_SEED repeats one.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from random import Random
from zlib import crc32

import h11
import pytest

from vcproxy.drivers.sim import NetworkFaults, Peer, Simulation, seeds
from vcproxy.engine.address import Address
from vcproxy.engine.blocks import SLAB
from vcproxy.engine.engine import Engine
from vcproxy.engine.listener import Listener
from vcproxy.engine.net import NetVConnection
from vcproxy.http.filters import Filter, PhaseResult, Wait
from vcproxy.http.proxy.connection import HttpProxy
from vcproxy.http.proxy.options import HttpTimeouts, Options
from vcproxy.http.proxy.transaction import Transaction
from vcproxy.sessions.service import Service
from vcproxy.upstream.server import Server
from vcproxy.upstream.settings import PoolSettings, QueueSettings, UpstreamSettings
from vcproxy.upstream.upstream import Upstream

from .test_tunnels import LOSSLESS

SEEDS = list(seeds(300))
BATCHES = [SEEDS[n::10] for n in range(10) if SEEDS[n::10]]

SIZES = [0, 0, 1, 100, 5_000, 70_000, 400_000]

METHODS = ["GET", "GET", "HEAD", "PUT", "POST", "POST", "DELETE"]

OPTIONS = Options(
    timeouts=HttpTimeouts(head=20.0, body=20.0, first_byte=20.0, idle=20.0, active=90.0)
)


class Buffering(Filter):
    """Gets each body as a whole."""

    body_limit = "2MiB"

    def request_body(self, tx: Transaction, body: bytes) -> None: ...

    def response_body(self, tx: Transaction, body: bytes) -> None: ...


class Streaming(Filter):
    """Gets each piece of a body."""

    def request_chunk(self, tx: Transaction, data: bytes) -> bytes:
        return data

    def response_chunk(self, tx: Transaction, data: bytes) -> bytes:
        return data


class Waiting(Filter):
    """Waits in each phase where a filter may wait."""

    def request_head(self, tx: Transaction) -> PhaseResult:
        return Wait("100ms")

    server_chosen = response_head = request_head


@dataclass(frozen=True)
class Request:
    """One request."""

    method: str
    target: str
    body: bytes
    chunked: bool
    expects: bool

    @classmethod
    def draw(cls, random: Random, target: str) -> Request:
        method = random.choice(METHODS)
        size = random.choice(SIZES) if method in ("PUT", "POST") else 0
        return cls(
            method, target, random.randbytes(size), random.random() < 0.4, random.random() < 0.1
        )

    @property
    def wire(self) -> bytes:
        lines = [f"{self.method} {self.target} HTTP/1.1", "Host: a"]
        chunked = self.chunked and self.body
        if chunked:
            lines.append("Transfer-Encoding: chunked")
        elif self.body:
            lines.append(f"Content-Length: {len(self.body)}")
        if self.expects and self.body:
            lines.append("Expect: 100-continue")
        body = b"%x\r\n%b\r\n0\r\n\r\n" % (len(self.body), self.body) if chunked else self.body
        return "\r\n".join([*lines, "", ""]).encode() + body

    @property
    def reply(self) -> bytes:
        """The body of the reply."""
        random = Random(self.target)
        return f"{self.target} {crc32(self.body)} ".encode() + random.randbytes(
            random.choice(SIZES)
        )


class ServerPeer:
    """A server's end of a connection: it replies to requests, parsed by h11."""

    def __init__(self, scenario: Scenario, peer: Peer) -> None:
        self._scenario = scenario
        self._peer = peer
        self._random = scenario.random
        self._reader = h11.Connection(h11.SERVER)
        self._body = b""
        self._request: h11.Request | None = None
        peer.on_data = self._on_data
        peer.on_end = peer.end

    def _on_data(self, data: bytes) -> None:
        self._reader.receive_data(data)
        self._parse()

    def _parse(self) -> None:
        while True:
            event = self._reader.next_event()  # raises if foreign bytes were inserted
            if isinstance(event, h11.Request):
                self._request, self._body = event, b""
                self._scenario.received[event.target.decode()] += 1
                if self._reader.they_are_waiting_for_100_continue:
                    self._peer.send(b"HTTP/1.1 100 Continue\r\n\r\n")
                    self._reader.send(h11.InformationalResponse(status_code=100, headers=[]))
                if not self._scenario.lossless and self._random.random() < 0.25:
                    self._reply()
            elif isinstance(event, h11.Data):
                self._body += bytes(event.data)
            elif isinstance(event, h11.EndOfMessage):
                assert self._request is not None
                request = self._scenario.requests[self._request.target.decode()]
                assert self._body == request.body, "a request was changed by the proxy"
                if self._reader.our_state is h11.DONE:
                    self._reader.start_next_cycle()
                    continue
                if self._reader.our_state is not h11.SEND_RESPONSE:
                    return
                delay_s = self._random.choice([0.0, 0.0, self._random.uniform(0.0, 0.5)])
                self._scenario.sim.clock.after(delay_s, self._reply)
                return
            else:
                return

    def _reply(self) -> None:
        """Send the reply; usually after the complete request."""
        head, random, peer = self._request, self._random, self._peer
        assert head is not None
        request = self._scenario.requests[head.target.decode()]
        body = request.reply
        headers: list[tuple[str, str]] = []
        framing = random.choice(["length", "length", "chunked", "close"])
        if framing == "length":
            headers = [("Content-Length", str(len(body)))]
        elif framing == "chunked":
            headers = [("Transfer-Encoding", "chunked")]
        if framing == "close" or random.random() < 0.1:
            headers.append(("Connection", "close"))
        data = b""
        if random.random() < 0.1:
            data += b"HTTP/1.1 103 Early Hints\r\nX: 1\r\n\r\n"
        writer = self._reader
        data += writer.send(h11.Response(status_code=200, headers=headers)) or b""
        half = random.randrange(len(body) + 1)
        for piece in (body[:half], body[half:]):
            if piece and request.method != "HEAD":
                data += writer.send(h11.Data(data=piece)) or b""
        data += writer.send(h11.EndOfMessage()) or b""
        chance = random.random()
        if self._scenario.lossless or chance < 0.8:
            peer.send(data)
            if writer.our_state is h11.MUST_CLOSE:
                peer.end()
                return
            if writer.their_state is h11.DONE:
                writer.start_next_cycle()
                self._parse()
            return
        cut = random.randrange(len(data))
        peer.send(data[:cut])
        (peer.end if chance < 0.9 else peer.reset)()


class Scenario:
    """What a seed determines: clients, servers, filters, settings and faults."""

    def __init__(self, seed: int, *, lossless: bool) -> None:
        self.random = random = Random(seed)
        self.lossless = lossless
        self.faults = (LOSSLESS if lossless else NetworkFaults.all()).some(random)
        self.sim = Simulation(seed, self.faults)
        self.requests: dict[str, Request] = {}
        self.received: Counter[str] = Counter()
        """How often each request has started at a server."""
        self.filters = random.choice(
            [(), (), (Buffering,), (Streaming,), (Waiting, Streaming), (Waiting, Buffering)]
        )
        direct = random.random() < 0.7
        self.drivers = [
            self.sim.driver(f"engine {n}", direct=direct) for n in range(random.choice([1, 1, 2]))
        ]
        servers = [Address("tcp", name, 1) for name in "ab"[: random.choice([1, 2])]]
        for address in servers:
            self.sim.server(address, self._serve)
        self.services = {
            driver.engine: self._service(driver.engine, servers) for driver in self.drivers
        }
        listener = Listener("front", self._accept, self.drivers[0].engine)
        self.drivers[0].group = self.drivers
        self.address = self.drivers[0].listen(Address("tcp", "front", 1), listener)
        self.clients = [Client(self, name) for name in "wxyz"[: random.choice([1, 2, 4])]]

    def _service(self, engine: Engine, servers: list[Address]) -> Service:
        random = self.random
        terms = UpstreamSettings(
            pool=PoolSettings(idle=random.choice([0, 1, 8]), idle_time=10.0),
            max_connections=random.choice([0, 0, 1, 2]),
            queue=QueueSettings(timeout=60.0),
        )
        upstream = Upstream(engine, "back", map(Server, servers), terms)
        return Service(
            "front", options=OPTIONS, upstream=upstream, filters=self.filters, connect_s=20.0
        )

    def _serve(self, peer: Peer) -> None:
        ServerPeer(self, peer)

    def _accept(self, client: NetVConnection) -> None:
        HttpProxy(client, self.services[client.engine]).start()

    def run(self) -> None:
        """Run to the end, and check the invariants."""
        bound = 8 * SLAB * len(self.clients)
        while self.sim.step():
            assert all(driver.engine.memory.used <= bound for driver in self.drivers)
        for client in self.clients:
            client.check()
        for target, times in self.received.items():
            most = 1 if self.lossless or self.requests[target].method == "POST" else 2
            assert times <= most, f"{target} was sent {times} times"
        for driver in self.drivers:
            assert not driver.engine.vcs, "a connection stays open"
            assert driver.engine.memory.used == 0, "a buffer is not empty"


@dataclass
class Response:
    """What a client has received of one response."""

    head: h11.Response
    body: bytes = b""
    complete: bool = False

    @property
    def by_proxy(self) -> bool:
        """Whether it was generated by the proxy."""
        return any(name == b"proxy-status" for name, _ in self.head.headers)


class Client:
    """Sends its requests, one after another or pipelined, and ends in a random way."""

    def __init__(self, scenario: Scenario, name: str) -> None:
        random = scenario.random
        self._lossless = scenario.lossless
        count = random.choice([1, 3, 8])
        self._requests = [Request.draw(random, f"/{name}{n}") for n in range(count)]
        scenario.requests |= {request.target: request for request in self._requests}
        self._at_once = random.random() < 0.5
        self._ending = (
            "end" if scenario.lossless else random.choice(["end", "end", "reset", "close"])
        )
        self._responses: list[Response] = []
        self._completed = 0
        self._expect(b"")
        self._peer = peer = scenario.sim.client(scenario.address)
        peer.on_data = self._on_data
        for request in self._requests if self._at_once else self._requests[:1]:
            peer.send(request.wire)
        if self._ending != "end":
            scenario.sim.clock.after(random.uniform(0.0, 3.0), getattr(peer, self._ending))
        if random.random() < 0.3:
            peer.stall()
            scenario.sim.clock.after(random.uniform(0.0, 3.0), peer.resume)

    def _expect(self, data: bytes) -> None:
        """Expect the next response."""
        if self._completed == len(self._requests):
            assert not data, "more responses than requests"
            return
        self._reader = reader = h11.Connection(h11.CLIENT)
        method = self._requests[self._completed].method
        reader.send(h11.Request(method=method, target="/", headers=[("Host", "a")]))
        reader.send(h11.EndOfMessage())
        if data:
            self._on_data(data)

    def _on_data(self, data: bytes) -> None:
        assert self._completed < len(self._requests), "more responses than requests"
        self._reader.receive_data(data)
        while True:
            event = self._reader.next_event()
            if isinstance(event, h11.Response):
                self._responses.append(Response(event))
            elif isinstance(event, h11.Data):
                self._responses[-1].body += bytes(event.data)
            elif isinstance(event, h11.EndOfMessage):
                self._responses[-1].complete = True
                self._completed += 1
                self._send_next()
                self._expect(self._reader.trailing_data[0])
                return
            elif not isinstance(event, h11.InformationalResponse):
                return

    def _send_next(self) -> None:
        if self._completed == len(self._requests):
            if self._ending == "end":
                self._peer.end()
        elif not self._at_once:
            self._peer.send(self._requests[self._completed].wire)

    def check(self) -> None:
        """Check that each response belongs to its request, and that a truncated one is detected."""
        for request, response in zip(self._requests, self._responses, strict=False):
            expected = b"" if request.method == "HEAD" else request.reply
            if not response.by_proxy:
                assert expected.startswith(response.body), "a response belongs to another request"
                assert not response.complete or response.body == expected, (
                    "truncated, but looks complete"
                )
            assert not (response.by_proxy and self._lossless), f"{response.head} for {request}"
        if self._lossless:
            assert self._completed == len(self._requests)


@pytest.mark.parametrize("batch", BATCHES, ids=lambda batch: f"{batch[0]}..")
@pytest.mark.parametrize("lossless", [True, False], ids=["lossless", "all faults"])
def test_conversations(batch: list[int], lossless: bool) -> None:
    for seed in batch:
        scenario = Scenario(seed, lossless=lossless)
        with scenario.sim:
            scenario.run()
