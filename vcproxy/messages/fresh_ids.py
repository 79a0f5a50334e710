"""FreshIds: ids of requests that no other request on a shared connection uses.

Tested in tests/messages/test_fresh_ids.py.
"""

from __future__ import annotations

from collections.abc import Iterable


class FreshIds:
    """Ids from 0 on, each used again as late as possible: the number after the last one, first."""

    __slots__ = ("_next", "size", "used")

    def __init__(self) -> None:
        self.used: set[int] = set()
        """The ids in use. Read-only for others."""
        self._next = 0
        self.size = 0
        """The smallest that was asked for; 0: none was."""

    @property
    def full(self) -> bool:
        """Whether there is no id left."""
        return len(self.used) >= self.size > 0

    def next(self, size: int) -> int:
        """Return an id below `size` that is not used. It is used after `use` only. Raises
        ValueError if there is none, which `full` has announced."""
        self.size = min(self.size or size, size)
        used = self.used
        for tried in range(self._next, self._next + size):
            if tried % size not in used:
                self._next = tried % size + 1
                return tried % size
        raise ValueError(f"no id below {size} is free")

    def use(self, number: int) -> None:
        """Mark an id as used."""
        self.used.add(number)

    def free(self, number: int | None) -> None:
        """Mark an id as not used; None: there is none."""
        if number is not None:
            self.used.discard(number)

    def keep(self, numbers: Iterable[int | None]) -> None:
        """Mark all other ids as not used."""
        self.used.intersection_update(numbers)
