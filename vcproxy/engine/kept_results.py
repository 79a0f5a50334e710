"""KeptResults: results that are used again for some time, by key, in bounded memory.

Tested in tests/engine/test_shared_calls.py.
"""

from __future__ import annotations

from collections.abc import Hashable
from copy import deepcopy
from typing import Final, Generic, TypeVar

V = TypeVar("V")

MOST: Final = 1000
"""Results that are kept; the oldest is forgotten for one more."""

MOST_BYTES: Final = 8 << 20
"""Bytes of all results together: less than what one busy connection may hold in buffers."""

_UNCHANGING: Final = frozenset((type(None), bool, int, float, str, bytes))


class KeptResults(Generic[V]):
    """The results of one engine. The caller passes in the time."""

    __slots__ = ("_bytes", "_kept")

    def __init__(self) -> None:
        self._kept: dict[Hashable, tuple[float, int, V]] = {}  # end, bytes, result; oldest first
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._kept)

    def get(self, key: Hashable, now: float) -> V | None:
        """Return the result of a key; None: there is none, or its time is over."""
        found = self._kept.get(key)
        if found is None:
            return None
        if now < found[0]:
            return found[2]
        self.pop(key)
        return None

    def put(self, key: Hashable, result: V, size: int, until: float) -> None:
        """Keep a result of `size` bytes until a time. One of more than MOST_BYTES is not kept."""
        self.pop(key)
        if size > MOST_BYTES:
            return
        self._kept[key] = (until, size, result)
        self._bytes += size
        while len(self._kept) > MOST or self._bytes > MOST_BYTES:
            self.pop(next(iter(self._kept)))

    def pop(self, key: Hashable) -> V | None:
        """Forget the result of a key and return it, also after its time; None: there is none."""
        found = self._kept.pop(key, None)
        if found is None:
            return None
        self._bytes -= found[1]
        return found[2]


def own_copy(value: object) -> object:
    """Return the value, or a copy if it can be changed: each conversation gets its own."""
    return value if type(value) in _UNCHANGING else deepcopy(value)


def size_of(value: object) -> int:
    """Return about how many bytes of memory plain data needs."""
    size = 64  # an object and its place in a container
    if isinstance(value, str | bytes):
        size += len(value)
    elif isinstance(value, list | tuple):
        size += sum(map(size_of, value))
    elif isinstance(value, dict):
        size += sum(size_of(key) + size_of(each) for key, each in value.items())
    return size
