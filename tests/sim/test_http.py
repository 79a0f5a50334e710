"""Whole HTTP conversations under random faults: clients, the proxy, servers; h11 says who is right.

VCPROXY_SEEDS sets how many seeds are run, VCPROXY_SEED repeats one.
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
from vcproxy.http.proxy.connection import HttpProxy
from vcproxy.http.proxy.filters import Filter, PhaseResult, Wait
from vcproxy.http.proxy.options import HttpTimeouts, Options
from vcproxy.http.proxy.transaction import Transaction
from vcproxy.sessions.service import Service
from vcproxy.upstream.server import Server
from vcproxy.upstream.settings import Pooling, Queueing, UpstreamSettings
from vcproxy.upstream.upstream import Upstream

from .test_tunnels import KINDNESS

SEEDS = list(seeds(300))
BATCHES = [SEEDS[n::10] for n in range(10) if SEEDS[n::10]]

SIZES = [0, 0, 1, 100, 5_000, 70_000, 400_000]

METHODS = ["GET", "GET", "HEAD", "PUT", "POST", "POST", "DELETE"]

OPTIONS = Options(
    timeouts=HttpTimeouts(head=20.0, body=20.0, first_byte=20.0, idle=20.0, active=90.0)
)


class Whole(Filter):
    """Sees all of each body."""

    body_limit = "2MiB"

    def request_body(self, tx: Transaction, body: bytes) -> None: ...

    def response_body(self, tx: Transaction, body: bytes) -> None: ...


class Pieces(Filter):
    """Sees each piece of a body."""

    def request_chunk(self, tx: Transaction, data: bytes) -> bytes:
        return data

    def response_chunk(self, tx: Transaction, data: bytes) -> bytes:
        return data


class Slow(Filter):
    """Takes its time, wherever it can."""

    def request_head(self, tx: Transaction) -> PhaseResult:
        return Wait("100ms")

    server_chosen = response_head = request_head


@dataclass(frozen=True)
class Question:
    """One request."""

    method: str
    target: str
    body: bytes
    chunked: bool
    expects: bool

    @classmethod
    def draw(cls, random: Random, target: str) -> Question:
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
        """The one body that answers it."""
        random = Random(self.target)
        return f"{self.target} {crc32(self.body)} ".encode() + random.randbytes(
            random.choice(SIZES)
        )


class Answerer:
    """A server's end of a connection: answers what h11 understands."""

    def __init__(self, play: Play, peer: Peer) -> None:
        self._play = play
        self._peer = peer
        self._random = play.random
        self._reader = h11.Connection(h11.SERVER)
        self._body = b""
        self._asked: h11.Request | None = None
        peer.on_data = self._hear
        peer.on_end = peer.end

    def _hear(self, data: bytes) -> None:
        self._reader.receive_data(data)
        self._go_on()

    def _go_on(self) -> None:
        while True:
            event = self._reader.next_event()  # raises where somebody else's bytes got in between
            if isinstance(event, h11.Request):
                self._asked, self._body = event, b""
                self._play.met[event.target.decode()] += 1
                if self._reader.they_are_waiting_for_100_continue:
                    self._peer.send(b"HTTP/1.1 100 Continue\r\n\r\n")
                    self._reader.send(h11.InformationalResponse(status_code=100, headers=[]))
                if not self._play.kind and self._random.random() < 0.25:
                    self._answer()
            elif isinstance(event, h11.Data):
                self._body += bytes(event.data)
            elif isinstance(event, h11.EndOfMessage):
                assert self._asked is not None
                question = self._play.questions[self._asked.target.decode()]
                assert self._body == question.body, "a request was changed on its way"
                if self._reader.our_state is h11.DONE:
                    self._reader.start_next_cycle()
                    continue
                if self._reader.our_state is not h11.SEND_RESPONSE:
                    return
                delay_s = self._random.choice([0.0, 0.0, self._random.uniform(0.0, 0.5)])
                self._play.sim.clock.after(delay_s, self._answer)
                return
            else:
                return

    def _answer(self) -> None:
        """Answer: most times when all of the request has come."""
        asked, random, peer = self._asked, self._random, self._peer
        assert asked is not None
        question = self._play.questions[asked.target.decode()]
        body = question.reply
        headers: list[tuple[str, str]] = []
        framing = random.choice(["length", "length", "chunked", "close"])
        if framing == "length":
            headers = [("Content-Length", str(len(body)))]
        elif framing == "chunked":
            headers = [("Transfer-Encoding", "chunked")]
        if framing == "close" or random.random() < 0.1:
            headers.append(("Connection", "close"))
        said = b""
        if random.random() < 0.1:
            said += b"HTTP/1.1 103 Early Hints\r\nX: 1\r\n\r\n"
        writer = self._reader
        said += writer.send(h11.Response(status_code=200, headers=headers)) or b""
        half = random.randrange(len(body) + 1)
        for piece in (body[:half], body[half:]):
            if piece and question.method != "HEAD":
                said += writer.send(h11.Data(data=piece)) or b""
        said += writer.send(h11.EndOfMessage()) or b""
        fate = random.random()
        if self._play.kind or fate < 0.8:
            peer.send(said)
            if writer.our_state is h11.MUST_CLOSE:
                peer.end()
                return
            if writer.their_state is h11.DONE:
                writer.start_next_cycle()
                self._go_on()
            return
        cut = random.randrange(len(said))
        peer.send(said[:cut])
        (peer.end if fate < 0.9 else peer.reset)()


class Play:
    """What a seed stands for."""

    def __init__(self, seed: int, *, kind: bool) -> None:
        self.random = random = Random(seed)
        self.kind = kind
        self.faults = (KINDNESS if kind else NetworkFaults.all()).some(random)
        self.sim = Simulation(seed, self.faults)
        self.questions: dict[str, Question] = {}
        self.met: Counter[str] = Counter()
        """How often each request was begun at a server."""
        self.filters = random.choice([(), (), (Whole,), (Pieces,), (Slow, Pieces), (Slow, Whole)])
        self.drivers = [self.sim.driver(f"engine {n}") for n in range(random.choice([1, 1, 2]))]
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
            pool=Pooling(idle=random.choice([0, 1, 8]), idle_time=10.0),
            max_connections=random.choice([0, 0, 1, 2]),
            queue=Queueing(timeout=60.0),
        )
        upstream = Upstream(engine, "back", map(Server, servers), terms)
        return Service(
            "front", options=OPTIONS, upstream=upstream, filters=self.filters, connect_s=20.0
        )

    def _serve(self, peer: Peer) -> None:
        Answerer(self, peer)

    def _accept(self, client: NetVConnection) -> None:
        HttpProxy(client, self.services[client.engine]).start()

    def run(self) -> None:
        """Run it to its end, and hold all to what must hold."""
        bound = 8 * SLAB * len(self.clients)
        while self.sim.step():
            assert all(driver.engine.memory.used <= bound for driver in self.drivers)
        for client in self.clients:
            client.check()
        for target, times in self.met.items():
            most = 1 if self.kind or self.questions[target].method == "POST" else 2
            assert times <= most, f"{target} was sent {times} times"
        for driver in self.drivers:
            assert not driver.engine.vcs, "a connection stays open"
            assert driver.engine.memory.used == 0, "a buffer holds something"


@dataclass
class Heard:
    """What a client has heard of one answer."""

    head: h11.Response
    body: bytes = b""
    whole: bool = False

    @property
    def own(self) -> bool:
        """Whether the proxy has made it."""
        return any(name == b"proxy-status" for name, _ in self.head.headers)


class Client:
    """Asks its questions, one after the other or all at once, and leaves in its way."""

    def __init__(self, play: Play, name: str) -> None:
        random = play.random
        self._kind = play.kind
        count = random.choice([1, 3, 8])
        self._questions = [Question.draw(random, f"/{name}{n}") for n in range(count)]
        play.questions |= {question.target: question for question in self._questions}
        self._at_once = random.random() < 0.5
        self._leaves = "end" if play.kind else random.choice(["end", "end", "reset", "close"])
        self._heard: list[Heard] = []
        self._answered = 0
        self._listen(b"")
        self._peer = peer = play.sim.client(play.address)
        peer.on_data = self._hear
        for question in self._questions if self._at_once else self._questions[:1]:
            peer.send(question.wire)
        if self._leaves != "end":
            play.sim.clock.after(random.uniform(0.0, 3.0), getattr(peer, self._leaves))
        if random.random() < 0.3:
            peer.stall()
            play.sim.clock.after(random.uniform(0.0, 3.0), peer.resume)

    def _listen(self, data: bytes) -> None:
        """Expect the next answer."""
        if self._answered == len(self._questions):
            assert not data, "more answers than questions"
            return
        self._reader = reader = h11.Connection(h11.CLIENT)
        method = self._questions[self._answered].method
        reader.send(h11.Request(method=method, target="/", headers=[("Host", "a")]))
        reader.send(h11.EndOfMessage())
        if data:
            self._hear(data)

    def _hear(self, data: bytes) -> None:
        assert self._answered < len(self._questions), "more answers than questions"
        self._reader.receive_data(data)
        while True:
            event = self._reader.next_event()
            if isinstance(event, h11.Response):
                self._heard.append(Heard(event))
            elif isinstance(event, h11.Data):
                self._heard[-1].body += bytes(event.data)
            elif isinstance(event, h11.EndOfMessage):
                self._heard[-1].whole = True
                self._answered += 1
                self._ask_on()
                self._listen(self._reader.trailing_data[0])
                return
            elif not isinstance(event, h11.InformationalResponse):
                return

    def _ask_on(self) -> None:
        if self._answered == len(self._questions):
            if self._leaves == "end":
                self._peer.end()
        elif not self._at_once:
            self._peer.send(self._questions[self._answered].wire)

    def check(self) -> None:
        """Each answer is that of its question, and one that is cut looks cut."""
        for question, heard in zip(self._questions, self._heard, strict=False):
            expected = b"" if question.method == "HEAD" else question.reply
            if not heard.own:
                assert expected.startswith(heard.body), "an answer is somebody else's"
                assert not heard.whole or heard.body == expected, "it is cut and looks whole"
            assert not (heard.own and self._kind), f"{heard.head} for {question}"
        if self._kind:
            assert self._answered == len(self._questions)


@pytest.mark.parametrize("batch", BATCHES, ids=lambda batch: f"{batch[0]}..")
@pytest.mark.parametrize("kind", [True, False], ids=["kind", "unkind"])
def test_conversations(batch: list[int], kind: bool) -> None:
    for seed in batch:
        play = Play(seed, kind=kind)
        with play.sim:
            play.run()
