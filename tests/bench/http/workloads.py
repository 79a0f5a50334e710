"""The workloads for reverse proxies, and how one peer is measured with one of them."""

import gzip
import json
import re
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPMessage
from statistics import quantiles
from typing import NamedTuple

from tests.bench.http.peers import TOKEN
from tests.bench.measure import cpu_s, resident_kib, settle, sockets
from tests.bench.peer import Failed, Peer, last_line, running
from tests.bench.workloads import PATIENCE_S, Sample, Workload, answer, load, order

from .peers import HEAD_S, LARGE, ORIGIN_PEER, SMALL, TEXT

WARM = 10
"""Requests of each client before the measurement: afterwards all connections are open."""
UNLIKE = 5000
"""Number of different requests, sent in turn: more than any of these proxies caches."""
REPORT = re.compile(r" (\d+) 2xx, (\d+) 3xx, .*\((\d+)\) data", re.DOTALL)


class Answered(NamedTuple):
    """How fast answers came."""

    rate: float
    p50_us: float
    p99_us: float


@contextmanager
def proxied(peer: Peer) -> Iterator[tuple[int, int]]:
    """Run the peer in front of the origin; yield (pid, port). Raises Failed."""
    with running(ORIGIN_PEER, 0) as (_, origin), running(peer, origin) as proxy:
        yield proxy


@dataclass(frozen=True, slots=True)
class Gets:
    """GET requests of h2load, one after the other on every connection."""

    name: str
    title: str
    clients: int
    path: str
    size: int
    seconds: float
    scheme: str = "http"
    unlike: int = 0
    """Number of different requests, each with a different response; 0: all requests are equal."""
    compressed: bool = False
    """Whether the clients accept gzip, and every answer must be compressed."""
    sticky: bool = False
    """Whether the clients send the cookie that the proxy has set."""
    redirected: bool = False
    """Whether every answer must be a redirect, of any size."""
    fields: tuple[str, ...] = ()
    """Fields that the clients send in addition."""
    cost_unit: str = "us"
    rate_unit: str = "/s"

    def suits(self, peer: Peer) -> bool:
        return self.name in peer.only

    def measure(self, peer: Peer) -> Sample:
        """Measure once, with everything fresh. Raises Failed."""
        with proxied(peer) as (pid, port):
            if self.compressed:
                self.check_compressed(port)
            warm = self.run_requests(port, WARM)
            settle(pid)
            before = cpu_s(pid)
            # as many requests as fit into the time, at the rate of the warm-up
            each = max(WARM, round(warm.rate * self.seconds / self.clients))
            answered = self.run_requests(port, each)
            settle(pid)
            cost = (cpu_s(pid) - before) * 1e6 / (each * self.clients)
        return Sample(cost, *answered)

    def run_requests(self, port: int, each: int) -> Answered:
        """Send `each` requests from every client; all must be answered in full. Raises Failed."""
        number = each * self.clients
        url = f"{self.scheme}://127.0.0.1:{port}/{self.path}"
        with (
            tempfile.NamedTemporaryFile("r", prefix="bench-") as log,
            tempfile.NamedTemporaryFile("w", prefix="bench-") as urls,
        ):
            command = ["h2load", "--h1", "-n", str(number), "-c", str(self.clients)]
            if self.compressed:
                command += ["-H", "accept-encoding: gzip"]
            for field in self.fields:
                command += ["-H", field]
            if self.sticky and (cookie := fetched(port, self.path)[0].get("Set-Cookie")):
                command += ["-H", f"cookie: {cookie.partition(';')[0]}"]
            urls.writelines(f"{url}?unlike={each + 1}\n" for each in range(self.unlike))
            urls.flush()
            target = f"--input-file={urls.name}" if self.unlike else url
            try:
                done = subprocess.run(
                    (*command, f"--log-file={log.name}", target),
                    capture_output=True,
                    text=True,
                    timeout=PATIENCE_S,
                    check=False,
                )
            except FileNotFoundError:
                raise Failed("h2load is not installed: nghttp2-client has it") from None
            except subprocess.TimeoutExpired:
                raise Failed(f"h2load was not done within {PATIENCE_S:.0f} s") from None
            match = REPORT.search(done.stdout)
            if not match:
                raise Failed(f"h2load: {last_line(done.stderr)}")
            right, redirects, data = map(int, match.groups())
            whole = number * self.size
            if self.redirected:
                right, whole = redirects, data
            if right != number or not (data < whole / 2 if self.compressed else data == whole):
                raise Failed(f"of {number} answers {right} were right; {data} bytes came in all")
            rows = [tuple(map(int, row.split())) for row in log]
        begin, end = min(begun for begun, _, _ in rows), max(at + took for at, _, took in rows)
        centiles = quantiles((took for _, _, took in rows), n=100)
        return Answered(number / (end - begin) * 1e6, centiles[49], centiles[98])

    def check_compressed(self, port: int) -> None:
        """Raise Failed if an answer is not the compressed body."""
        fields, body = fetched(port, self.path, {"Accept-Encoding": "gzip"})
        if fields.get("Content-Encoding") != "gzip":
            raise Failed("the answer is not compressed")
        if len(gzip.decompress(body)) != self.size:
            raise Failed("the answer is compressed, but is not the whole body")


def fetched(
    port: int, path: str, fields: Mapping[str, str] | None = None
) -> tuple[HTTPMessage, bytes]:
    """Get one answer; return its fields and its body."""
    client = HTTPConnection("127.0.0.1", port, timeout=PATIENCE_S)
    try:
        client.request("GET", f"/{path}", headers=fields or {})
        answer = client.getresponse()
        return answer.headers, answer.read()
    except OSError as error:
        raise Failed(f"no answer: {error}") from None
    finally:
        client.close()


@dataclass(frozen=True, slots=True)
class Kept:
    """Clients that received one response and keep their connections open; the cost is memory."""

    name: str
    title: str
    clients: int
    cost_unit: str = "KiB"
    rate_unit: str = "opened/s"

    def suits(self, peer: Peer) -> bool:
        return self.name in peer.only

    def measure(self, peer: Peer) -> Sample:
        """Measure once, with everything fresh. Raises Failed."""
        with proxied(peer) as (pid, port), clients("kept", port, self.clients, 0) as kept:
            answer(kept)
            settle(pid)
            before = resident_kib(pid)
            order(kept)
            figures = json.loads(answer(kept))
            settle(pid)
            cost = (resident_kib(pid) - before) / figures["done"]
        return Sample(cost, figures["done"] / figures["seconds"])


@dataclass(frozen=True, slots=True)
class Share:
    """Clients that stay connected; the cost is the share of the process that has most of them."""

    name: str
    title: str
    clients: int
    cost_unit: str = "%"
    rate_unit: str = "opened/s"

    def suits(self, peer: Peer) -> bool:
        return self.name in peer.only

    def measure(self, peer: Peer) -> Sample:
        """Measure once, with everything fresh. Raises Failed."""
        with proxied(peer) as (pid, port), clients("kept", port, self.clients, 0) as kept:
            answer(kept)
            order(kept)
            figures = json.loads(answer(kept))
            cost = 100 * sockets(pid)[0] / self.clients  # each worker also has one to the server
        return Sample(cost, figures["done"] / figures["seconds"])


@dataclass(frozen=True, slots=True)
class Handshakes:
    """Connections with TLS and one GET each; the cost is the proxy's CPU for each connection."""

    name: str
    title: str
    role: str
    seconds: float
    clients: int = 4
    cost_unit: str = "us"
    rate_unit: str = "/s"

    def suits(self, peer: Peer) -> bool:
        return self.name in peer.only

    def measure(self, peer: Peer) -> Sample:
        """Measure once, with everything fresh. Raises Failed."""
        with (
            proxied(peer) as (pid, port),
            clients(self.role, port, self.clients, self.seconds) as load,
        ):
            answer(load)
            settle(pid)
            before = cpu_s(pid)
            order(load)
            figures = json.loads(answer(load))
            settle(pid)
            cost = (cpu_s(pid) - before) * 1e6 / figures["done"]
        return Sample(
            cost, figures["done"] / figures["seconds"], figures["p50_us"], figures["p99_us"]
        )


@dataclass(frozen=True, slots=True)
class Slow:
    """Clients with endless requests, while others send complete ones. The cost is how long after
    the limit the last slow client was closed."""

    name: str
    title: str
    clients: int
    cost_unit: str = "ms"
    rate_unit: str = "/s"

    def suits(self, peer: Peer) -> bool:
        return self.name in peer.only

    def measure(self, peer: Peer) -> Sample:
        """Measure once, with everything fresh. Raises Failed."""
        with proxied(peer) as (_, port), clients("slow", port, self.clients, HEAD_S) as slow:
            answer(slow)
            order(slow)
            figures = json.loads(answer(slow))
        return Sample(
            figures["late_s"] * 1e3,
            figures["done"] / figures["seconds"],
            figures["p50_us"],
            figures["p99_us"],
        )


def clients(*role: object) -> AbstractContextManager["subprocess.Popen[str]"]:
    """Run one process of tests.bench.http.load."""
    return load(*role, module="tests.bench.http.load")


def workloads(seconds: float, idle: int) -> dict[str, Workload]:
    """Every workload by name, in the sizes given."""

    def gets(name: str, title: str, scheme: str = "http") -> Gets:
        return Gets(name, title, 64, "small", SMALL, seconds, scheme)

    every: tuple[Workload, ...] = (
        gets("http", "GET of 1 KiB, 64 kept connections"),
        Gets("http-unlike", "no two alike", 64, "small", SMALL, seconds, unlike=UNLIKE),
        gets("metrics-http", "the same, with metrics"),
        gets("access-log-http", "the same, with access logs"),
        gets("admission-http", "the same, with allow, deny and rate"),
        Gets(
            "access-log-http-unlike",
            "no two alike, with access logs",
            64,
            "small",
            SMALL,
            seconds,
            unlike=UNLIKE,
        ),
        Gets(
            "compression",
            "GET of 100 KiB, sent by gzip",
            8,
            "text.txt",
            TEXT,
            seconds,
            compressed=True,
        ),
        Gets(
            "access",
            "GET of 1 KiB of a script, with a token",
            64,
            "small",
            SMALL,
            seconds,
            fields=("origin: https://app.example", f"authorization: Bearer {TOKEN}"),
        ),
        gets("duty-ordinary", "the same, with one duty"),
        gets("duty-direct", "the same, with duties on the direct path"),
        Gets("duty-redirect", "GET, answered by 302", 64, "small", SMALL, seconds, redirected=True),
        Gets("sticky", "GET of 1 KiB with a cookie", 64, "small", SMALL, seconds, sticky=True),
        gets("http-tls", "the same behind TLS", "https"),
        Gets("http-1m", "GET of 1 MiB, 8 kept connections", 8, "large", LARGE, seconds),
        Gets("static", "file of 1 MiB, 8 kept connections", 8, "large", LARGE, seconds),
        gets("static-small", "file of 1 KiB, 64 kept connections"),
        Handshakes("tls-full", "new TLS connection, one GET", "handshakes", seconds),
        Handshakes("tls-resumed", "the same, resumed", "resumptions", seconds),
        Kept("http-idle", "idle kept client", idle),
        Share("workers", "connections of the busier of 2 workers", 1000),
        Slow("http-slow", "1000 slow heads: the last closed", 1000),
    )
    return {workload.name: workload for workload in every}
