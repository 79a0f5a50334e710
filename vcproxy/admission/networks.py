"""AdmittedAddresses: the addresses that `allow` and `deny` leave, prepared for lookup.

Both lists become sorted bounds of the ranges that are admitted, so one binary search decides,
however many networks there are.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from ipaddress import IPv4Network, IPv6Address, IPv6Network
from itertools import chain

Network = IPv4Network | IPv6Network

Range = tuple[int, int]
"""Addresses as numbers: the first one, and the one after the last."""


def number_of(address: str) -> int:
    """Return the number of an IP address, IPv4 or IPv6. The zone of fe80::1%eth0 is ignored."""
    if ":" in address:
        return int(IPv6Address(address.partition("%")[0]))
    first, second, third, fourth = address.split(".")  # a tenth of the time of IPv4Address
    return int(first) << 24 | int(second) << 16 | int(third) << 8 | int(fourth)


class AdmittedAddresses:
    """The addresses that are in a network of `allow`, and in none of `deny`.

    Args:
        allow: networks; None: all addresses are allowed.
        deny: networks, which count more than those of `allow`.
    """

    __slots__ = ("_bounds", "why_not")

    def __init__(self, allow: Iterable[Network] | None, deny: Iterable[Network] = ()) -> None:
        allowed, denied = None if allow is None else tuple(allow), tuple(deny)
        reasons = [] if not denied else ["in deny"]
        reasons += [] if allowed is None else ["not in allow"]
        self.why_not = f"its address is {' or '.join(reasons)}"
        """Why an address is not admitted, in words."""
        self._bounds = {
            version: _bounds(
                [(0, 1 << bits)] if allowed is None else _ranges(allowed, version),
                _ranges(denied, version),
            )
            for version, bits in ((4, 32), (6, 128))
        }

    def __contains__(self, address: str) -> bool:
        bounds = self._bounds[6 if ":" in address else 4]
        return bisect_right(bounds, number_of(address)) % 2 == 1

    @property
    def empty(self) -> bool:
        """Whether no address is admitted."""
        return not any(self._bounds.values())


def _ranges(networks: Iterable[Network], version: int) -> list[Range]:
    """Return the ranges of the networks of a version, sorted and merged."""
    merged: list[Range] = []
    for first, end in sorted(
        (int(each.network_address), int(each.network_address) + each.num_addresses)
        for each in networks
        if each.version == version
    ):
        if merged and first <= merged[-1][1]:
            merged[-1] = merged[-1][0], max(end, merged[-1][1])
        else:
            merged.append((first, end))
    return merged


def _bounds(allowed: list[Range], denied: list[Range]) -> list[int]:
    """Return the bounds of what is allowed and not denied: a first number, the one after the last
    of its range, the first of the next range, and so on."""
    steps = sorted(
        chain(
            ((number, way) for each in allowed for number, way in zip(each, (1, -1), strict=True)),
            ((number, way) for each in denied for number, way in zip(each, (-2, 2), strict=True)),
        )
    )
    bounds: list[int] = []
    level = 0  # 1: allowed and not denied
    for number, way in steps:
        was, level = level == 1, level + way
        if was is not (level == 1):
            if bounds and bounds[-1] == number:
                bounds.pop()  # a range that ends where the next one begins, or an empty one
            else:
                bounds.append(number)
    return bounds
