"""The trace of one connection of a proxy in simulation."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from tests.control.questions.asked_proxy import AskedProxy
from vcproxy.control.connection_trace import MOST, WAITING, ConnectionTrace
from vcproxy.machine.trace import Trace

ECHO = """
[[listener]]
name = "web"
bind = "tcp://proxy:80"
plugin = "http_proxy"
upstream = "back"

[upstream.back]
servers = ["tcp://10.0.0.7:1"]
"""

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"


class Traced:
    """The events of a connection, and how the trace has ended."""

    def __init__(
        self, proxy: AskedProxy, conn: str, feed: Callable[..., None] | None = None
    ) -> None:
        self.begun = False
        self.events: list[Mapping[str, Any]] = []
        self.ends: list[str] = []
        self.checks: list[Callable[[], None]] = []
        self.trace = ConnectionTrace(
            proxy,
            conn,
            self.received,
            self.ends.append,
            feed=feed or (lambda call: call()),
            after=lambda seconds, call: self.checks.append(call),
        )

    def received(self, events: Sequence[Mapping[str, Any]]) -> None:
        self.begun = True
        self.events += events

    def __enter__(self) -> Traced:
        return self

    def __exit__(self, *_: object) -> None:
        self.trace.stop()
        self.trace.stop()


@contextmanager
def proxied(folder: Path) -> Iterator[AskedProxy]:
    with AskedProxy(folder, ECHO) as proxy:
        proxy.server("tcp://10.0.0.7:1")
        yield proxy
    assert Trace.running == []


def test_the_events_of_one_connection_only(tmp_path: Path) -> None:
    with proxied(tmp_path) as proxy:
        client, other = proxy.client("web"), proxy.client("web")
        with Traced(proxy, "0-1") as traced:
            assert traced.begun
            client.send(GET)
            other.send(GET)
            proxy.sim.elapse(1.0)
            name = proxy.ask("conns", id="0-1")[0]["name"]
            first = traced.events[0]
            assert (first["machine"], first["state"], first["event"], first["source"]) == (
                name,
                "READING_HEAD",
                "READ_READY",
                "OS",
            )
            assert (first["bytes_in"], first["bytes_out"]) == (len(GET), 0)
            assert {each["machine"] for each in traced.events} == {name}
        before = len(traced.events)
        client.send(GET)
        proxy.sim.elapse(1.0)
        assert len(traced.events) == before


def test_it_ends_with_the_connection(tmp_path: Path) -> None:
    with proxied(tmp_path) as proxy:
        client = proxy.client("web")
        with Traced(proxy, "0-1") as traced:
            traced.checks.pop()()
            assert traced.ends == []
            client.reset()
            proxy.sim.elapse(1.0)
            traced.checks.pop()()
            assert traced.ends == ["the connection is closed"]
            assert traced.checks == []
            assert traced.events[-1]["event"] in ("ERROR", "EOS")


def test_a_reader_that_is_slow_misses_events(tmp_path: Path) -> None:
    later: list[Callable[[], None]] = []
    with proxied(tmp_path) as proxy:
        client = proxy.client("web")
        with Traced(proxy, "0-1", later.append) as traced:
            for _ in range(WAITING):
                client.send(b"x")
                proxy.sim.elapse(0.01)
            client.send(b"\r\n\r\n")
            proxy.sim.elapse(1.0)
            for call in later:
                call()
            assert len(traced.events) == WAITING + 1
            assert traced.events[-1]["dropped"] > 0


def test_what_cannot_be_traced(tmp_path: Path) -> None:
    with proxied(tmp_path) as proxy, ExitStack() as stack:
        proxy.client("web")
        with Traced(proxy, "0-9") as traced:
            assert (traced.ends, traced.begun) == (["there is no such connection"], False)
        for _ in range(MOST):
            assert stack.enter_context(Traced(proxy, "0-1")).begun
        with Traced(proxy, "0-1") as traced:
            assert traced.ends == [f"there are {MOST} traces already"]
