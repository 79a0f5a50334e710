"""Checks of nats:// addresses in a file, without a connection, as for `vcproxy -t`."""

from __future__ import annotations

import importlib.util

from vcproxy.engine.address import Address


def source(address: Address) -> Address:
    """Return the address if a relay can subscribe to it. Raises ValueError with the reason if not.

    Addresses with other schemes are returned unchecked, here and in `target`.
    """
    if address.scheme == "nats":
        if address.parameter("stream") and not address.parameter("durable"):
            raise ValueError(
                f'"{address}": reading a stream needs a durable consumer: add durable=NAME'
            )
        _require_library(address)
    return address


def target(address: Address) -> Address:
    """Return the address if a relay can publish to it. Raises ValueError with the reason if not."""
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
    # find_spec does not import the module. None in sys.modules blocks its import
    try:
        found = importlib.util.find_spec("nats.aio")
    except ModuleNotFoundError:
        found = None
    if found is None:
        raise ValueError(f"\"{address}\" needs a library: pip install '.[nats]' in the checkout")
