"""When requests take the direct path, and what else may happen there."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import replace

import pytest

from tests.http.direct.test_differences import FIRST, GET, ONE, answer_all, connect, send
from tests.http.direct.twins import Step, both
from tests.http.proxy.harness import PLAIN, Http, answer, received
from vcproxy.drivers.sim import NetworkFaults
from vcproxy.http.filters import Filter
from vcproxy.http.message.direct_heads import DirectHeads
from vcproxy.http.proxy.connection import HttpProxy
from vcproxy.http.proxy.transaction import Transaction
from vcproxy.machine.machine import HistoryEntry
from vcproxy.machine.state import State
from vcproxy.machine.trace import Trace

DATED = answer(b"yes", "Date: x")


class Done(Filter):
    """A filter that needs the end of each request."""

    def __init__(self, options: object = None) -> None:
        super().__init__(options)
        self.ended: list[str] = []

    def done(self, tx: Transaction) -> None:
        self.ended.append(tx.request.target)


class Counting(HttpProxy):
    """Overrides a phase."""

    ended: list[str] = []

    def done(self, tx: Transaction) -> None:
        self.ended.append(tx.request.target)


class Altered(HttpProxy):
    """Overrides a method that the direct path does not call."""

    called = 0

    def request_readable(self, event: object) -> State | None:
        Altered.called += 1
        return super().request_readable(event)


class Named(HttpProxy):
    """Overrides nothing of the machine."""

    def refresh(self) -> None:
        """Unused."""


def conversation(proxy: Http, requests: int = 3) -> None:
    """Play requests on one connection."""
    client = proxy.send(GET)
    server = proxy.server()
    for number in range(requests):
        if number:
            client.send(GET)
        proxy.go()
        server.send(DATED)
        proxy.go()
        assert received(client).endswith("yes")


def events(proxy: Http, requests: int = 3) -> int:
    """Play requests; return how many events the connection received meanwhile."""
    seen: list[HistoryEntry] = []
    count = HttpProxy.handle_event

    def counted(self: HttpProxy, key: Hashable, data: object) -> None:
        seen.append(HistoryEntry("", self.state, key, ""))
        count(self, key, data)

    HttpProxy.handle_event = counted  # type: ignore[method-assign]
    try:
        conversation(proxy, requests)
    finally:
        HttpProxy.handle_event = count  # type: ignore[method-assign]
    return len(seen)


@pytest.mark.parametrize("plugin", [HttpProxy, Named])
def test_requests_after_the_first_cause_no_event(plugin: type[HttpProxy]) -> None:
    with Http(plugin) as proxy:
        first = events(proxy, 1)
    with Http(plugin) as proxy:
        assert events(proxy, 9) == first


def test_requests_that_a_filter_needs_take_the_ordinary_path() -> None:
    watching = Done()
    with Http(filters=[lambda: watching]) as proxy:
        conversation(proxy)
    assert watching.ended == ["/a"] * 3


def test_a_subclass_gets_all_that_it_overrides() -> None:
    with Http(Counting) as proxy:
        conversation(proxy)
    assert Counting.ended == ["/a"] * 3
    with Http(Altered) as proxy:
        conversation(proxy)
    assert Altered.called >= 3


def test_a_trace_has_all_events() -> None:
    seen: list[HistoryEntry] = []
    with Http() as proxy, Trace(seen.append, HttpProxy):
        conversation(proxy)
    assert [str(entry.key) for entry in seen].count("Event.READ_READY") == 6


def test_an_engine_without_direct_paths() -> None:
    with Http() as proxy:
        proxy.engine.direct = False
        assert events(proxy) > 5


def test_the_history_has_what_was_read_directly() -> None:
    with Http() as proxy:
        conversation(proxy)
        (session,) = proxy.sessions
        history = [str(entry).partition(" @ ")[2] for entry in session.history()][-4:]
    assert (
        history
        == [
            "READING_HEAD got 'READ_READY' from OS",
            "SERVING got 'READ_READY' from OS",
        ]
        * 2
    )


def test_a_request_in_flight_is_being_served() -> None:
    with Http() as proxy:
        client = proxy.send(GET)
        server = proxy.server()
        proxy.go()
        server.send(DATED)
        proxy.go()
        client.send(GET)
        proxy.go()
        (session,) = proxy.sessions
        assert session.state is HttpProxy.SERVING
        server.send(DATED)
        proxy.go()
        assert session.state is HttpProxy.READING_HEAD


@pytest.mark.parametrize("name", ["request_line", "answer"])
def test_a_mistake_ends_one_conversation(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise ZeroDivisionError("a mistake")

    with Http() as proxy:
        conversation(proxy)
        monkeypatch.setattr(DirectHeads, name, fail)
        log: list[str] = []
        proxy.engine.log = lambda level, text, error=None: log.append(f"{text} {error}")
        client = proxy.send(GET.replace(b"/a", b"/b"))
        proxy.go()
        for peer in proxy.peers():
            peer.send(answer(b"new", "Date: y"))
        proxy.go()
        assert client.reset_seen
        assert len(log) == 1
        assert "its conversation is closed" in log[0]
        assert "a mistake" in log[0]
        monkeypatch.undo()
        conversation(proxy)
        proxy.elapse(PLAIN.timeouts.idle)  # the ended conversation's timer


def test_short_sends_in_both_directions() -> None:
    """The rest of a request or a response is sent by the ordinary path, once."""
    for seed in range(40):
        with Http(seed=seed, faults=NetworkFaults(short=0.5)) as proxy:
            client = proxy.client()
            for number in range(6):
                before = len(client.received)
                client.send(GET)
                proxy.elapse(1.0)
                server = proxy.peers()[-1]
                assert bytes(server.received).count(b"GET /a HTTP/1.1\r\n") == number + 1
                assert bytes(server.received).endswith(b"\r\n\r\n")
                server.send(DATED)
                proxy.elapse(1.0)
                assert bytes(client.received[before:]).endswith(b"\r\n\r\nyes")
                assert bytes(client.received).count(b"HTTP/1.1 200 OK") == number + 1


def test_the_last_request_of_a_connection_takes_the_ordinary_path() -> None:
    options = replace(PLAIN, limits=replace(PLAIN.limits, requests=3))
    steps: list[Step] = [*FIRST, *[send(GET), answer_all] * 2, connect]
    assert both(steps, replace(ONE, options=options)) == 1
