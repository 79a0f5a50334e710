"""DropCounter: all drops are counted, few are logged."""

from tests.engine.world import engine
from vcproxy.engine.drop_counter import DropCounter


def test_each_reason_is_logged_at_most_once_a_second() -> None:
    log: list[str] = []
    proxy = engine(log)
    drops = DropCounter(proxy, "in")
    for tick in range(25):
        proxy.clock(tick / 10)
        drops.drop("it is too large")
    drops.drop("it was not read")
    assert drops.count == 26
    assert drops.counts == {"it is too large": 25, "it was not read": 1}
    assert log == [
        "warning: in: a datagram was dropped: it is too large",
        "warning: in: 10 datagrams were dropped: it is too large",
        "warning: in: 10 datagrams were dropped: it is too large",
        "warning: in: a datagram was dropped: it was not read",
    ]
