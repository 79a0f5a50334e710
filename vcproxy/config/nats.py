"""nats:// addresses in a file: the checks of `vcproxy -t`, made without a connection."""

from __future__ import annotations

import importlib.util

from vcproxy.engine.address import Address


def source(address: Address) -> Address:
    """Return an address to subscribe to. Raises ValueError with the reason if it cannot be one.

    Addresses of other schemes are not checked, here and in `target`.
    """
    if address.scheme == "nats":
        if address.parameter("stream") and not address.parameter("durable"):
            raise ValueError(
                f'"{address}": reading a stream needs a durable consumer: add durable=NAME'
            )
        _require_library(address)
    return address


def target(address: Address) -> Address:
    """Return an address to publish to. Raises ValueError with the reason if it cannot be one."""
    if address.scheme == "nats":
        if address.parameter("durable"):
            raise ValueError(f'"{address}": durable= is for reading only: remove it from a target')
        if address.wildcard:
            raise ValueError(
                f'"{address}": {address.path} has wildcards: messages are published to one subject'
            )
        _require_library(address)
    return address


def _require_library(address: Address) -> None:
    # find_spec imports nothing. sys.modules has None for a module whose import is blocked
    try:
        found = importlib.util.find_spec("nats.aio")
    except ModuleNotFoundError:
        found = None
    if found is None:
        raise ValueError(f"\"{address}\" needs a library: pip install '.[nats]' in the checkout")
