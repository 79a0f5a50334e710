"""nats: addresses in a file."""

from __future__ import annotations

import sys

import pytest

from vcproxy.config import nats
from vcproxy.engine.address import Address


@pytest.mark.parametrize("uri", ["nats://h/a.*?durable=d&stream=S", "nats://h/a", "udp://h:1"])
def test_valid_sources(uri: str) -> None:
    assert nats.source(Address.parse(uri)) == Address.parse(uri)


@pytest.mark.parametrize("uri", ["nats://h/a?stream=S", "nats://h/a", "udp://h:1"])
def test_valid_targets(uri: str) -> None:
    assert nats.target(Address.parse(uri)) == Address.parse(uri)


def test_a_stream_needs_a_durable_consumer() -> None:
    with pytest.raises(
        ValueError, match="reading a stream needs a durable consumer: add durable=NAME"
    ):
        nats.source(Address.parse("nats://h/a?stream=S"))


@pytest.mark.parametrize(
    ("uri", "why"),
    [
        ("nats://h/a?durable=d", "durable= is for reading only"),
        ("nats://h/a.*", r"a\.\* has wildcards: messages are published to one subject"),
    ],
)
def test_invalid_targets(uri: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        nats.target(Address.parse(uri))


def test_a_missing_library(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == "nats"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "nats", None)
    for check in (nats.source, nats.target):
        with pytest.raises(ValueError, match=r'"nats://h:4222/a" needs .*pip install .\.\[nats\]'):
            check(Address.parse("nats://h/a"))
