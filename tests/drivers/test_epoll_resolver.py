"""Resolver: equal names share one look-up; a cancelled request gets no result."""

from __future__ import annotations

import threading
from collections.abc import Callable
from queue import SimpleQueue

from tests.drivers.test_epoll_thread_pool import Hung, hung
from vcproxy.drivers.epoll.resolver import Lookup, Resolver
from vcproxy.engine.address import Address
from vcproxy.testing.running import PATIENCE_S

__all__ = ["hung"]


class Results:
    """Results of look-ups: (label, addresses, text of the error)."""

    def __init__(self) -> None:
        self.queue: SimpleQueue[tuple[str, list[str], str]] = SimpleQueue()

    def callback(self, label: str) -> Callable[[list[Address], Exception | None], None]:
        """Return the callback of one look-up."""

        def done(addresses: list[Address], error: Exception | None) -> None:
            self.queue.put((label, list(map(str, addresses)), str(error or "")))

        return done

    def next(self) -> tuple[str, list[str], str]:
        """Wait for the next result and return it."""
        return self.queue.get(timeout=PATIENCE_S)


def lookups(resolver: Resolver, address: Address, results: Results, labels: str) -> list[Lookup]:
    """Start a look-up of an address for each label."""
    return [resolver.look_up(address, results.callback(label)) for label in labels.split()]


def test_equal_names_share_one_look_up_and_each_request_keeps_its_port(hung: Hung) -> None:
    results = Results()
    resolver = Resolver(lambda host: [f"{hung(host)}.1", f"{host}.2"])
    for number in range(100):
        address = Address.parse(f"tcp://app:{number + 1}")
        resolver.look_up(address, results.callback(str(number)))
    resolver.look_up(Address.parse("tcp://db:1"), results.callback("db"))
    assert {hung.started.get(timeout=PATIENCE_S) for _ in range(2)} == {"app", "db"}
    assert hung.started.empty()
    hung.release()
    addresses = {label: found for label, found, _ in (results.next() for _ in range(101))}
    assert addresses["db"] == ["tcp://db.1:1", "tcp://db.2:1"]
    assert addresses["7"] == ["tcp://app.1:8", "tcp://app.2:8"]
    assert len(addresses) == 101
    resolver.look_up(Address.parse("tcp://app:1"), results.callback("later"))
    assert hung.started.get(timeout=PATIENCE_S) == "app", "results are not cached"


def test_a_look_up_is_cancelled_with_its_last_request(hung: Hung) -> None:
    results = Results()
    resolver = Resolver(lambda host: [str(hung(host))])
    address = Address.parse("tcp://app:1")
    first, second = lookups(resolver, address, results, "first second")
    assert hung.started.get(timeout=PATIENCE_S) == "app"
    resolver.cancel(first)
    third = resolver.look_up(address, results.callback("third"))
    resolver.cancel(second)
    resolver.cancel(second)
    assert hung.started.empty()
    resolver.cancel(third)
    resolver.look_up(address, results.callback("fourth"))
    assert hung.started.get(timeout=PATIENCE_S) == "app", "the cancelled look-up is not shared"
    hung.release()
    assert results.next() == ("fourth", ["tcp://app:1"], "")
    assert results.queue.empty()


def test_every_request_gets_the_error_of_a_name_that_does_not_exist() -> None:
    results = Results()
    gate = threading.Event()

    def resolve(host: str) -> list[str]:
        assert gate.wait(PATIENCE_S)
        raise OSError(f"cannot resolve {host}: name or service not known")

    resolver = Resolver(resolve)
    for label in "ab":
        resolver.look_up(Address.parse("tcp://app:1"), results.callback(label))
    gate.set()
    received = sorted(results.next() for _ in range(2))
    assert received == [
        (label, [], "cannot resolve app: name or service not known") for label in "ab"
    ]
