"""DropCounter: each is counted, and few are said."""

from tests.engine.world import engine
from vcproxy.engine.drop_counter import DropCounter


def test_each_reason_is_said_at_most_once_a_second() -> None:
    log: list[str] = []
    proxy = engine(log)
    losses = DropCounter(proxy, "in")
    for tick in range(25):
        proxy.clock(tick / 10)
        losses.drop("it is too large")
    losses.drop("nobody read it")
    assert losses.count == 26
    assert losses.counts == {"it is too large": 25, "nobody read it": 1}
    assert log == [
        "warning: in: a datagram was dropped: it is too large",
        "warning: in: 10 datagrams were dropped: it is too large",
        "warning: in: 10 datagrams were dropped: it is too large",
        "warning: in: a datagram was dropped: nobody read it",
    ]
