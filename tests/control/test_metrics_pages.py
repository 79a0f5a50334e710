"""MetricsPages on a simulated network: scrapes, health, and clients that misbehave."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import pytest

from tests.control.metrics.rows import process, row
from tests.control.proxy_double import ProxyDouble
from vcproxy.control.metrics_pages import MetricsPages
from vcproxy.control.questions.answer import Answer
from vcproxy.drivers.sim import Peer, Simulation
from vcproxy.engine.address import Address

HERE = Address.parse("tcp://10.0.0.1:9100")


class Asked(ProxyDouble):
    """Answers on demand."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[tuple[str, Callable[[Answer], None]]] = []

    def ask(
        self, question: str, arguments: Mapping[str, str], then: Callable[[Answer], None]
    ) -> None:
        self.asked.append((question, then))

    def answer(self, *rows: dict[str, object], missing: str = "") -> None:
        """Answer what was asked first."""
        self.asked.pop(0)[1](Answer(list(rows), [missing] if missing else []))


class Site:
    """The pages of a proxy, on a simulated network."""

    def __init__(self) -> None:
        self.sim = Simulation(seed=3)
        driver = self.sim.driver("control")
        self.proxy = Asked()
        self.pages = MetricsPages(driver.engine, self.proxy, driver.engine.log)
        driver.listen(HERE, self.pages.server)
        self.sim.run()

    def get(self, path: str, *fields: str, method: str = "GET") -> Peer:
        """Return a client that has sent a request."""
        client = self.sim.client(HERE)
        lines = [f"{method} {path} HTTP/1.1", "Host: h", *fields, "", ""]
        client.send("\r\n".join(lines).encode())
        self.sim.elapse(0.1)
        return client

    def answer(self, *rows: dict[str, object], missing: str = "") -> None:
        """Let the proxy answer, and the pages with it."""
        self.proxy.answer(*rows, missing=missing)
        self.sim.elapse(0.1)

    @property
    def log(self) -> list[str]:
        return [text for _, _, text in self.sim.log]


def status(client: Peer) -> int:
    """Return the status of the answer."""
    return int(client.received.split(b" ")[1])


def test_metrics_are_asked_for_and_written_as_text() -> None:
    site = Site()
    client = site.get("/metrics")
    assert not client.received
    site.answer(process(7), row("vcproxy_listener_accepted", 5, "listener=a"))
    assert status(client) == 200
    assert b'\nvcproxy_listener_accepted_total{listener="a"} 5.0\n' in client.received
    assert b"content-type: text/plain; version=0.0.4" in bytes(client.received).lower()


def test_prometheus_gets_openmetrics_and_a_counter_stays() -> None:
    site = Site()
    for _ in range(2):
        client = site.get("/metrics", "Accept: application/openmetrics-text;version=1.0.0")
        site.answer(row("orders", 1, kind="counter", help="Orders."), missing="net-1: no answer")
        assert b"\norders_total 1.0\n" in client.received
        assert b"\nvcproxy_scrape_missing 1.0\n" in client.received
        assert b"# EOF\n" in client.received


def test_two_that_ask_at_once_share_an_answer() -> None:
    site = Site()
    one, two = site.get("/metrics"), site.get("/metrics")
    assert len(site.proxy.asked) == 1
    site.answer(row("x", 1, kind="gauge", help="X."))
    assert one.received == two.received != b""
    site.get("/metrics")
    assert len(site.proxy.asked) == 1, "the next one asks again"


def test_a_head_is_answered_without_a_body_and_a_post_is_refused() -> None:
    site = Site()
    client = site.get("/metrics", method="HEAD")
    site.answer(row("x", 1, kind="gauge", help="X."))
    assert status(client) == 200
    assert client.received.endswith(b"\r\n\r\n")
    assert status(site.get("/metrics", method="POST")) == 405
    assert status(site.get("/v1/STOP", method="POST")) == 404
    assert not site.proxy.told


def test_a_metric_with_two_declarations_is_logged_once() -> None:
    site = Site()
    for _ in range(2):
        site.get("/metrics")
        site.answer(row("x", 1, kind="counter"), row("x", 1, kind="gauge"))
    assert site.log == ["metric x is declared in several ways: only the latest is exported"]


def test_a_client_that_leaves_or_never_reads_holds_up_no_other() -> None:
    site = Site()
    many = [row("x", number, f"n={number}", kind="gauge") for number in range(3000)]
    gone, deaf = site.get("/metrics"), site.get("/metrics")
    gone.reset()
    deaf.stall()
    site.answer(*many)
    third = site.get("/metrics")
    site.answer(*many)
    assert third.received.count(b"\nx{") == 3000
    site.sim.elapse(120.0)
    deaf.resume()
    site.sim.elapse(1.0)
    assert deaf.ended, "it was closed after a minute"


def states(**roles: str) -> list[dict[str, object]]:
    return [{"role": role, "state": state} for role, state in roles.items()]


@pytest.mark.parametrize(
    ("rows", "missing", "healthy", "ready"),
    [
        (states(proxy="serving"), "", 200, 200),
        (states(proxy="draining"), "", 200, 503),
        (states(), "net-0: no answer within 2s", 503, 503),
        (states(master="serving", worker="serving"), "", 200, 200),
        (states(master="reloading", worker="serving"), "", 200, 200),
        (states(master="restarting", worker="draining"), "", 200, 200),
        (states(master="serving", worker="serving"), "worker 2: no answer", 200, 503),
        (states(master="serving"), "worker 1: no answer", 503, 503),
        (states(master="starting"), "worker 1: no answer", 200, 503),
        (states(master="draining", worker="draining"), "", 200, 503),
    ],
)
def test_health_and_readiness(
    rows: list[dict[str, object]], missing: str, healthy: int, ready: int
) -> None:
    site = Site()
    for path, expected in (("/healthz", healthy), ("/readyz", ready)):
        client = site.get(path)
        assert [question for question, _ in site.proxy.asked] == ["process"]
        site.answer(*rows, missing=missing)
        assert status(client) == expected, path
        assert missing.encode() in client.received
