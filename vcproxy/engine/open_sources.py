"""OpenSources: the sources of one engine that have not ended, by number and by continuation.

Tested in tests/engine/sources/test_source.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vcproxy.engine.continuation import Continuation
    from vcproxy.engine.mutex import Mutex
    from vcproxy.engine.sources.source import Source


class OpenSources(dict[int, "Source"]):
    """The open sources of an engine, by number, in the order of opening."""

    __slots__ = ("_of", "count")

    def __init__(self) -> None:
        self.count = 0
        """Sources opened so far: the number of the last."""
        self._of: dict[Continuation, dict[int, Source]] = {}

    def add(self, source: Source, cont: Continuation) -> int:
        """Add a new source; return its number, which recordings identify it by."""
        self.count += 1
        self[self.count] = source
        self._of.setdefault(cont, {})[self.count] = source
        return self.count

    def remove(self, source: Source, cont: Continuation | None) -> bool:
        """Remove a source that has ended or is closed; return whether it was open."""
        if self.pop(source.number, None) is None:
            return False
        if cont is not None:
            own = self._of[cont]
            del own[source.number]
            if not own:
                del self._of[cont]
        return True

    def close_those_of(self, cont: Continuation) -> None:
        """Close the sources of a continuation that has ended. Its mutex is held."""
        for source in list(self._of.get(cont, {}).values()):
            source.close()

    def close_all(self, mutex: Mutex) -> None:
        """Close the sources of a conversation. The mutex is held."""
        for source in [each for each in self.values() if each.mutex is mutex]:
            source.close()
