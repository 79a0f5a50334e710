"""SilenceWatch: a producer or source that sends nothing is logged, and when it sends again."""

from __future__ import annotations

import pytest

from tests.relay.test_relay import MAX_LAG, RelayProxy, line, relay
from vcproxy.engine.address import Address
from vcproxy.relay.options import RelaySource

GROUP = Address.parse("udp://239.1.1.1:5000?interface=127.0.0.1")
NOTHING = "warning: proxy 10.0.0.1:40002: nothing received for 10s"


def said(proxy: RelayProxy) -> list[str]:
    """Return the lines of the log about silence."""
    return [text for text in proxy.log if "nothing received" in text or "data again" in text]


@pytest.mark.parametrize("framing", ["lines", "none"])
def test_a_silent_producer_is_logged_once(framing: str) -> None:
    with relay(silence=10.0, framing=framing) as proxy:
        proxy.subscribe()
        producer = proxy.produce(b"a\n")
        for _ in range(10):
            proxy.elapse(4)
            proxy.send(producer, b"b\n")
        assert said(proxy) == []
        proxy.elapse(16)
        assert said(proxy) == [NOTHING]
        proxy.elapse(100)
        assert said(proxy) == [NOTHING]
        assert proxy.status.counts["silences"] == 1
        proxy.send(producer, b"c\n")
        proxy.elapse(6)
        assert said(proxy)[1:] == ["info: proxy 10.0.0.1:40002: data again, after about 115s"]
        proxy.elapse(16)
        assert said(proxy)[2:] == [NOTHING]


def test_a_group_without_a_sender_is_logged() -> None:
    source = (RelaySource(GROUP),)
    with relay(
        silence=10.0, framing=None, source=source, refusing=[str(GROUP)], end=False
    ) as proxy:
        proxy.elapse(16)
        [text] = said(proxy)
        assert text == f"warning: proxy {GROUP}: nothing received for 10s"
        proxy.sim.datagram_client(GROUP).send(b"")
        proxy.sim.datagram_client(GROUP).send(b"x")
        proxy.elapse(6)
        assert said(proxy)[1:] == [f"info: proxy {GROUP}: data again, after about 20s"]


def test_a_producer_that_has_left_is_not_silent() -> None:
    with relay(silence=10.0) as proxy:
        proxy.produce(b"a\n").end()
        proxy.elapse(100)
        assert said(proxy) == []


def test_a_producer_that_a_sink_blocks_is_not_silent() -> None:
    with relay(silence=10.0, on_lag="block", max_lag=MAX_LAG, end=False) as proxy:
        [subscriber] = proxy.subscribe()
        subscriber.stall()
        producer = proxy.produce()
        proxy.lines(producer, range(2000))
        proxy.elapse(100)
        assert said(proxy) == []
        assert proxy.relay.tunnel.blocked
        subscriber.resume()
        proxy.elapse(6)
        proxy.send(producer, line(1))


def test_by_default_a_producer_may_be_silent() -> None:
    with relay() as proxy:
        proxy.produce(b"a\n")
        proxy.elapse(1000)
        assert said(proxy) == []
