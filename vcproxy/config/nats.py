"""nats: addresses in a file: what `-t` can say of them without a connection."""

from __future__ import annotations

import importlib.util

from vcproxy.engine.address import Address


def source(address: Address) -> Address:
    """Return an address that is to be heard. Raises ValueError saying what stands against it.

    Other addresses than nats: pass, here as in `target`.
    """
    if address.scheme == "nats":
        if address.parameter("stream") and not address.parameter("durable"):
            raise ValueError(f'"{address}": a stream is heard with durable=NAME')
        _require_library(address)
    return address


def target(address: Address) -> Address:
    """Return an address that is to be published to. Raises ValueError, as `source` does."""
    if address.scheme == "nats":
        if address.parameter("durable"):
            raise ValueError(f'"{address}": durable= is for what is heard, not published')
        if address.wildcard:
            raise ValueError(f'"{address}": {address.path} is many subjects: nothing goes to all')
        _require_library(address)
    return address


def _require_library(address: Address) -> None:
    # find_spec imports nothing. None: somebody has blocked it
    try:
        found = importlib.util.find_spec("nats.aio")
    except ModuleNotFoundError:
        found = None
    if found is None:
        raise ValueError(f'"{address}" needs a library: pip install nats-py')
