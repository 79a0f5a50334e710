"""nats: addresses in a file."""

from __future__ import annotations

import sys

import pytest

from vcproxy.config import nats
from vcproxy.engine.address import Address


@pytest.mark.parametrize("uri", ["nats://h/a.*?durable=d&stream=S", "nats://h/a", "udp://h:1"])
def test_what_can_be_heard(uri: str) -> None:
    assert nats.source(Address.parse(uri)) == Address.parse(uri)


@pytest.mark.parametrize("uri", ["nats://h/a?stream=S", "nats://h/a", "udp://h:1"])
def test_what_can_be_published_to(uri: str) -> None:
    assert nats.target(Address.parse(uri)) == Address.parse(uri)


def test_a_stream_is_heard_by_a_durable_consumer() -> None:
    with pytest.raises(ValueError, match="a stream is heard with durable=NAME"):
        nats.source(Address.parse("nats://h/a?stream=S"))


@pytest.mark.parametrize(
    ("uri", "why"),
    [
        ("nats://h/a?durable=d", "durable= is for what is heard, not published"),
        ("nats://h/a.*", r"a\.\* is many subjects: nothing goes to all"),
    ],
)
def test_what_cannot_be_published_to(uri: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        nats.target(Address.parse(uri))


def test_a_library_that_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == "nats"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "nats", None)
    for check in (nats.source, nats.target):
        with pytest.raises(ValueError, match=r'"nats://h:4222/a" needs .*pip install nats-py'):
            check(Address.parse("nats://h/a"))
