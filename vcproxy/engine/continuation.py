"""Continuation: an object that receives events, under one mutex.

Tested in tests/engine/test_engine.py.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import TYPE_CHECKING, Any, ClassVar

from vcproxy.engine.mutex import Mutex

if TYPE_CHECKING:
    from vcproxy.engine.engine import Engine


class ClassDeclaration:
    """What is declared in the body of a class, and checks the class when it is made."""

    __slots__ = ()

    def class_made(self, cls: type[Continuation]) -> None:
        """Raise TypeError for a class that is wrong."""
        raise NotImplementedError


class Continuation:
    """An engine, a mutex, and a method that receives events.

    `handle_event` runs only on its engine and with its mutex held. It must do a bounded amount of
    work and return; an exception in it closes the whole conversation: every VC under that mutex.
    """

    __slots__ = ("engine", "mutex")

    receives_messages: ClassVar[bool] = False
    """Whether the class declares methods with `on_message`."""
    periodic: ClassVar[bool] = False
    """Whether the class declares methods with `every`."""

    def __init_subclass__(cls, **keywords: Any) -> None:
        """Let the declarations in the body of a class check it: those with a `class_made`."""
        super().__init_subclass__(**keywords)
        for declared in tuple(vars(cls).values()):
            if isinstance(declared, ClassDeclaration):
                declared.class_made(cls)

    def __init__(self, engine: Engine, mutex: Mutex) -> None:
        self.engine = engine
        self.mutex = mutex

    @property
    def now(self) -> float:
        """The engine's time in seconds, for intervals: it never runs backwards, and it is the same
        throughout one call."""
        return self.engine.now

    @property
    def wall(self) -> int:
        """The time of day: seconds since 1970, UTC. It may run backwards; 0: not set yet."""
        return self.engine.wall

    def handle_event(self, key: Hashable, data: object) -> None:
        """Handle one event. `key` is an Event, a message class or a tag; see Event for the data."""
        raise NotImplementedError

    def crashed(self, error: Exception) -> str:
        """Return text for the log of an exception in `handle_event`; machines return history."""
        return ""


class OwnedCall(Continuation):
    """A call made under the mutex of `owner`; an exception in it closes that conversation.

    It is made to be passed to `engine.schedule`, with any event.
    """

    __slots__ = ("_call", "_owner")

    def __init__(self, owner: Continuation, call: Callable[[], None]) -> None:
        super().__init__(owner.engine, owner.mutex)
        self._owner = owner
        self._call = call

    def __repr__(self) -> str:
        return repr(self._owner)

    def handle_event(self, key: Hashable, data: object) -> None:
        """Make the call."""
        self._call()

    def crashed(self, error: Exception) -> str:
        """Return the owner's text."""
        return self._owner.crashed(error)


class OwnTimer(Continuation):
    """A call of the engine itself, under a mutex that nothing else uses."""

    __slots__ = ("_call",)

    def __init__(self, engine: Engine, call: Callable[[], None]) -> None:
        super().__init__(engine, Mutex())
        self._call = call

    def handle_event(self, key: Hashable, data: object) -> None:
        """Make the call."""
        self._call()
