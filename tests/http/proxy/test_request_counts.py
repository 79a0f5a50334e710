"""RequestCounts: each response is counted once, whatever becomes of its request."""

from __future__ import annotations

from dataclasses import replace

import pytest

from vcproxy.drivers.sim.peer import Peer
from vcproxy.http.proxy.options import HttpTimeouts

from .harness import GET, PLAIN, Http, answer, request


def counts(proxy: Http) -> dict[str, object]:
    """Return the responses by class, without those of which there are none."""
    names = ("none", "1xx", "2xx", "3xx", "4xx", "5xx")
    counted = {name: proxy.metric("vcproxy_http_responses", **{"class": name}) for name in names}
    return {name: number for name, number in counted.items() if number}


def durations(proxy: Http) -> list[float]:
    """Return the observations in each bucket, then their sum."""
    sample = proxy.metric("vcproxy_http_request_duration_seconds")
    assert isinstance(sample, list)
    return sample


def serve(proxy: Http, status: bytes, after_s: float) -> Peer:
    """Let a new client get a response with this status."""
    client = proxy.send(GET)
    proxy.elapse(after_s)
    proxy.peers()[-1].send(b"HTTP/1.1 %b X\r\nContent-Length: 0\r\nDate: x\r\n\r\n" % status)
    proxy.go()
    return client


@pytest.mark.parametrize("direct", [True, False])
def test_responses_are_counted_by_class_and_times_in_buckets(direct: bool) -> None:
    with Http(options=replace(PLAIN, timeouts=HttpTimeouts(first_byte=60))) as proxy:
        proxy.engine.direct = direct
        for status, seconds in ((b"200", 0.0004), (b"302", 0.003), (b"404", 0.2), (b"503", 45.0)):
            serve(proxy, status, seconds)
        serve(proxy, b"799", 0.003)
        assert counts(proxy) == {"2xx": 1, "3xx": 1, "4xx": 1, "5xx": 2}
        buckets = durations(proxy)
        assert buckets[:-1] == [1, 0, 0, 2, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 1]
        assert buckets[-1] == pytest.approx(45.2064)


def test_a_request_that_is_not_valid_is_counted_without_a_time() -> None:
    with Http() as proxy:
        proxy.send(b"GET / HTTP/3.0\r\n\r\n")
        proxy.go()
        assert counts(proxy) == {"5xx": 1}
        assert not any(durations(proxy))


def test_a_head_that_is_never_complete_is_counted() -> None:
    with Http(options=replace(PLAIN, timeouts=HttpTimeouts(head=1))) as proxy:
        proxy.send(b"GET / HT")
        proxy.elapse(2)
        assert counts(proxy) == {"4xx": 1}


def test_a_client_that_leaves_without_a_response_is_counted() -> None:
    with Http() as proxy:
        client = proxy.send(GET)
        proxy.go()
        client.reset()
        proxy.go()
        assert counts(proxy) == {"none": 1}
        assert sum(durations(proxy)[:-1]) == 1


def test_a_response_of_the_proxy_and_one_with_a_long_body_are_counted_once() -> None:
    with Http(refusing=["server"]) as proxy:
        proxy.send(GET)
        proxy.elapse(10)
        assert counts(proxy) == {"5xx": 1}
    with Http() as proxy:
        proxy.send(request())
        proxy.go()
        proxy.peers()[-1].send(answer(bytes(1_000_000)))
        proxy.go()
        assert counts(proxy) == {"2xx": 1}
