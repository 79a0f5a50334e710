"""Instruments: what an author counts, in two lines."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import pytest

from vcproxy.api import (
    Counter,
    Filter,
    Gauge,
    Histogram,
    HttpProxy,
    Message,
    NetVConnection,
    Part,
    Program,
    Session,
    Splitter,
    State,
)
from vcproxy.engine.event import Event
from vcproxy.engine.mutex import current
from vcproxy.http.proxy.transaction import Transaction
from vcproxy.instruments.instrument import MOST_SERIES
from vcproxy.testing.proxy import SimulatedProxy


class Orders(Session):
    """Counts orders by their first word."""

    orders = Counter("orders", "Orders accepted.", labels=("kind",))
    size = Histogram("order_size_bytes", "Size of an order.", buckets=(4, 8))
    waiting = Gauge("orders_waiting", "Clients that have not ordered yet.")

    READING = State(initial=True)
    CLOSED = State(final=True)
    READING.goes(Event.EOS, CLOSED)

    @READING.enter
    def reading(self) -> None:
        self.waiting.add()

    @READING.on(Message)
    def ordered(self, message: Message) -> None:
        self.waiting.add(-1)
        self.orders.add(kind=message.data.split()[0].decode())
        self.size.observe(len(message.data))


def test_a_session_counts_by_label_in_buckets_and_up_and_down() -> None:
    with SimulatedProxy(Orders, servers=()) as proxy:
        for order in (b"new 1\n", b"new 12345\n", b"old\n", b""):
            proxy.client().send(order)
        proxy.run()
        assert proxy.metric("orders", kind="new") == 2
        assert proxy.metric("orders_total", kind="old") == 1
        assert proxy.metric("orders", kind="none") == 0
        assert proxy.metric("order_size_bytes") == [1, 1, 1, 3 + 5 + 9], "4 is in the first bucket"
        assert proxy.metric("orders_waiting") == 1


def test_two_sessions_of_new_code_count_where_the_old_code_did() -> None:
    class Reloaded(Orders):
        orders = Counter("orders", "Orders accepted, as before.", labels=("kind",))

    class Changed(Orders):
        orders = Counter("orders", "Orders accepted.", labels=("kind", "shop"))

    with SimulatedProxy(Orders, servers=()) as proxy:
        old = Orders.orders.of(proxy.engine, "proxy")
        assert Reloaded.orders.of(proxy.engine, "proxy") is old
        assert Reloaded.orders.of(proxy.engine, "another listener") is not old
        assert Changed.orders.of(proxy.engine, "proxy") is not old, "it has other labels"


class Clients(Program):
    """Counts its clients."""

    clients = Gauge("clients", "Clients.")

    def accept(self, client: NetVConnection) -> None:
        self.clients.set(7)
        client.do_io_close()


def test_a_program_sets_a_gauge() -> None:
    with SimulatedProxy(Clients, servers=()) as proxy:
        proxy.client()
        proxy.run()
        assert proxy.metric("clients") == 7


class Paths(Filter):
    """Counts requests."""

    requests = Counter("requests", "Requests.", labels=("target",))

    def request_head(self, tx: Transaction) -> None:
        self.requests.add(2, target=tx.request.target)


def test_a_filter_counts_for_its_listener() -> None:
    with SimulatedProxy(HttpProxy, filters=[Paths()], name="shop") as proxy:
        proxy.client().send(b"GET /a HTTP/1.1\r\nHost: a\r\n\r\n")
        proxy.run()
        assert proxy.metric("requests", target="/a") == 2
        assert {each.listener for each in proxy.engine.instruments.values()} == {"shop"}


class Counted(Splitter):
    """Counts in a method of the class: a reply belongs to no single client."""

    replied = Counter("parts", "Parts.", labels=("kind",))
    open_parts = Gauge("open_parts", "Parts that are not the last.")
    sizes = Histogram("part_bytes", "Sizes of parts.", buckets=(10,))

    @classmethod
    def split(cls, reply: bytes, options: object) -> Iterator[Part]:
        cls.replied.add(kind="reply")
        cls.open_parts.add(-1)
        cls.sizes.observe(len(reply))
        yield Part(None, reply)


def test_a_class_method_counts_for_the_listener_whose_code_is_running() -> None:
    with SimulatedProxy(Counted, name="shop") as proxy:
        client = proxy.client()
        client.send(b"a\n")
        proxy.server().send(b"answer\n")
        proxy.elapse(1)
        assert client.received == b"answer\n"
        assert proxy.metric("parts", kind="reply") == 1
        assert proxy.metric("open_parts") == -1
        assert proxy.metric("part_bytes") == [1, 0, 6]
        assert {each.listener for each in proxy.engine.instruments.values()} == {"shop"}


def test_an_attribute_that_hides_one_of_a_base_class_is_a_mistake() -> None:
    with pytest.raises(TypeError, match=r"metric parts: .*\.parts hides Machine\.parts: rename"):

        class Hiding(Splitter):
            parts = Counter("parts", "Parts.")  # type: ignore[assignment]

    class Changed(Orders):
        orders = Counter("orders", "Orders accepted, as before.", labels=("kind",))


def test_counting_where_no_listener_has_code_is_a_mistake() -> None:
    with pytest.raises(RuntimeError, match="metric parts: no code of a listener is running"):
        Counted.replied.add(kind="reply")


def test_labels_with_text_of_clients_do_not_fill_the_memory() -> None:
    with SimulatedProxy(Orders, servers=()) as proxy:
        orders = Orders.orders.of(proxy.engine, "proxy")
        for number in range(MOST_SERIES + 5):
            orders.add(kind=number)
        orders.add(kind=0)
        assert len(orders.series) == MOST_SERIES + 1
        assert proxy.metric("orders", kind="other") == 5
        assert proxy.metric("orders", kind="0") == 2, "it is counted by itself, as before"
        assert [line for line in proxy.log if "metric orders" in line] == [
            f"warning: metric orders: {MOST_SERIES} combinations of labels are counted one by one; "
            'all others are counted together, as "other"'
        ]


def mistake(name: str, call: Callable[[], object], text: str) -> object:
    return pytest.param(call, text, id=name)


@pytest.mark.parametrize(
    ("call", "text"),
    [
        mistake("name", lambda: Counter("vcproxy_orders", ""), 'not beginning with "vcproxy_"'),
        mistake("dash", lambda: Gauge("open-orders", ""), '"open-orders" cannot be the name'),
        mistake("ending", lambda: Gauge("orders_total", ""), "not ending with _bucket"),
        mistake("label", lambda: Counter("orders", "", labels=("listener",)), '"listener" cannot'),
        mistake("no bucket", lambda: Histogram("s", "", buckets=()), "one or more finite numbers"),
        mistake("order", lambda: Histogram("s", "", buckets=(2, 1)), "in ascending order"),
        mistake("infinite", lambda: Histogram("s", "", buckets=(float("inf"),)), "finite"),
    ],
)
def test_a_wrong_declaration_is_refused(call: Callable[[], object], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        call()


@pytest.mark.parametrize("labels", [(), ("sort",), ("kind", "sort")])
def test_labels_that_were_not_declared_are_a_mistake(labels: Sequence[str]) -> None:
    with SimulatedProxy(Orders, servers=()) as proxy:
        orders = Orders.orders.of(proxy.engine, "proxy")
        with pytest.raises(TypeError, match="metric orders has the labels kind; given: "):
            orders.add(**dict.fromkeys(labels, "x"))
        assert not orders.series


def test_a_counter_does_not_shrink() -> None:
    with SimulatedProxy(Orders, servers=()) as proxy:
        orders = Orders.orders.of(proxy.engine, "proxy")
        with pytest.raises(ValueError, match="metric orders: a counter cannot grow by -1: use a G"):
            orders.add(-1, kind="new")


def test_counting_on_another_thread_is_a_mistake() -> None:
    before, current.engine = current.engine, None
    try:
        with pytest.raises(RuntimeError, match="metric orders can be used on net threads only"):
            Orders.orders.__get__(object(), Orders)
    finally:
        current.engine = before
