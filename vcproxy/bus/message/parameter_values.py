"""The types of parameters: integer, timespec and address (eventdispatcher.md 1 and 2)."""

from __future__ import annotations

import re
from typing import Final

from vcproxy.engine.address import SCHEMES, Address

_INTEGER = re.compile(
    r"([+-]?)(?:0[bB]([01]{1,64})|0[oO]([0-7]{1,22})|0[xX]([0-9a-fA-F]{1,16})|(?:0[dD])?([0-9]{1,20}))"
)
"""Each base with as many digits as 64 bits need: Python converts thousands of them slowly."""
_BASES = (2, 8, 16, 10)
_TIMESPEC = re.compile(r"([+-]?)(?:([0-9]{1,19})(?:\.([0-9]{0,9}))?|\.([0-9]{1,9}))")

NANOSECONDS: Final = 1_000_000_000
"""How many nanoseconds a second has."""


def integer(text: str) -> int:
    """Return the integer of a text such as `-12`, `0x1F`, `0b101`, `0o17` or `0d9`.

    Raises ValueError with the reason if it is none, or does not fit in 64 bits with a sign.
    """
    found = _INTEGER.fullmatch(text)
    if found is None:
        raise ValueError("it is not an integer of 64 bits")
    sign, *digits = found.groups()
    number = next(int(some, base) for some, base in zip(digits, _BASES, strict=True) if some)
    number = -number if sign == "-" else number
    if not -(2**63) <= number < 2**63:
        raise ValueError("it is not an integer of 64 bits")
    return number


def timespec(text: str) -> tuple[int, int]:
    """Return (seconds, nanoseconds) of `SECONDS[.FRACTION]` or `.FRACTION`, as struct timespec has
    them: the nanoseconds are from 0 to 999,999,999, so that `-0.5` is (-1, 500_000_000).

    Raises ValueError with the reason if the text is not such a time.
    """
    found = _TIMESPEC.fullmatch(text)
    if found is None:
        raise ValueError("it is not a time in seconds, as in 12.5, with at most 9 decimals")
    sign, seconds, decimals, only_decimals = found.groups()
    fraction = int((decimals or only_decimals or "0").ljust(9, "0"))
    total = int(seconds or "0") * NANOSECONDS + fraction
    return divmod(-total if sign == "-" else total, NANOSECONDS)


def address(text: str) -> Address:
    """Return the Address of a text; without a scheme, as the original writes it, one of TCP.

    Raises ValueError with the reason if it is not an address.
    """
    scheme = text.partition(":")[0]
    return Address.parse(text if scheme in SCHEMES else f"tcp://{text}")


def written(value: str | int) -> str:
    """Return the text of a value: decimal for integers, `true` and `false` for truth values."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return value if isinstance(value, str) else str(value)
