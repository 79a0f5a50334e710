"""The log lines quoted in docs/how-to/relay.md are those that a relay logs, except the figures."""

from __future__ import annotations

import re

from tests.docs.relay_picture import LOG, PAGE
from vcproxy.engine.address import Address
from vcproxy.plugins.relay import RelayPlugin
from vcproxy.relay.options import RelayOptions
from vcproxy.sessions.program import Signal
from vcproxy.testing.proxy import SimulatedProxy

LINES = (b"x" * 999 + b"\n") * 1000


def shape(line: str) -> str:
    """A line without its time, names and figures."""
    text = re.sub(r"^[\d:,]+ (\w+) ", lambda level: f"{level[1].lower()}: ", line)
    text = re.sub(r"sinks?$", "sinks", text.replace("ticker", "proxy"))
    return re.sub(r"[\d.:]*\d(B|KiB|MiB)?", "#", text)


def test_the_log_on_the_page_is_that_of_a_relay() -> None:
    found = LOG.search(PAGE.read_text())
    assert found
    shown = found[0].removeprefix(found[1]).splitlines()
    options = RelayOptions(
        framing="lines",
        subscribers=(Address.parse("tcp://proxy:2"),),
        max_lag=10_000,
        on_lag="drop_oldest",
    )
    with SimulatedProxy(RelayPlugin, options=options) as proxy:
        slow, producer = proxy.client("subscribers"), proxy.client()
        proxy.run()
        slow.stall()
        producer.send(LINES)
        proxy.run()
        slow.resume()
        proxy.run()
        proxy.programs.deliver(Signal(15))
        proxy.run()
        logged = {shape(line) for line in proxy.log}
    assert len(shown) > 5
    for line in shown:
        assert shape(line) in logged
