"""A state and its declarations: receivers, transitions, enter and leave hooks, a timeout.

Declarations only: a State has nothing of a running machine, so one object serves all instances and
subclasses, and diagrams and tests read it as data.
"""

from __future__ import annotations

import enum
import sys
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from inspect import CO_ASYNC_GENERATOR, CO_COROUTINE, CO_GENERATOR
from typing import Any, TypeVar

from vcproxy.engine.event import Event
from vcproxy.engine.units import duration

R = TypeVar("R", bound="Callable[..., State | None]")
H = TypeVar("H", bound=Callable[[Any], None])


class _Word(enum.Enum):
    """Special keys, used in declarations only: no engine delivers them."""

    ANY = enum.auto()
    ENTER = enum.auto()
    LEAVE = enum.auto()

    __hash__ = object.__hash__

    def __repr__(self) -> str:
        return self.name


ANY = _Word.ANY
"""The catch-all key. Its receiver, called as receiver(self, key, data), gets every key that has no
receiver in the state."""
ENTER, LEAVE = _Word.ENTER, _Word.LEAVE


@dataclass(frozen=True, slots=True)
class Receiver:
    """One declaration: what a state does on one key."""

    key: Hashable
    function: Callable[..., State | None] | None
    """None for a bare transition."""
    targets: tuple[State, ...]
    """The states that it may move to."""
    always: bool
    """Whether the receiver always moves to its only target; if not, it returns a target or None."""
    place: str
    """FILE:LINE of the declaration."""


NOT_CALLED = CO_GENERATOR | CO_COROUTINE | CO_ASYNC_GENERATOR
"""The flags of functions whose body does not run when they are called."""


class State:
    """A state of a machine: a class attribute, named by the attribute.

    `timeout` ("5s") runs from entering to leaving and is received as Event.TIMEOUT; `seconds` is
    its length. A `final` state ends the machine. All declarations are in the class body that makes
    the state; a subclass overrides the methods.
    """

    __slots__ = (
        "final", "initial", "machine", "name", "parent", "path", "place", "receivers", "seconds",
    )  # fmt: skip

    def __init__(
        self,
        *,
        parent: State | None = None,
        initial: bool = False,
        final: bool = False,
        timeout: str | None = None,
    ) -> None:
        self.name = self.machine = ""
        self.parent = parent
        self.initial = initial
        self.final = final
        self.seconds = None if timeout is None else duration(timeout)
        self.receivers: list[Receiver] = []
        """All receivers, in the order of declaration, including those of ENTER and LEAVE."""
        self.path: tuple[State, ...] = (self,) if parent is None else (*parent.path, self)
        """From the root down to this state."""
        self.place = _caller()

    def __set_name__(self, machine: type, name: str) -> None:
        self.machine, self.name = machine.__qualname__, name

    def __repr__(self) -> str:
        return f"{self.machine}.{self.name}"

    def on(
        self, key: Hashable, *keys: Hashable, to: State | tuple[State, ...] | None = None
    ) -> Callable[[R], R]:
        """Declare the decorated method, called as receiver(self, data), to receive these keys.

        A key is a member of Event, a message class, a tag or name; or ANY, whose receiver is
        called as receiver(self, key, data). `to=X` always moves to X; `to=(X, Y)` moves to the one
        that the receiver returns, and stays when it returns None; without `to` it stays.
        """
        place = _caller()
        targets = () if to is None else to if isinstance(to, tuple) else (to,)
        always = to is not None and not isinstance(to, tuple)

        def receive(function: R) -> R:
            for each in (key, *keys):
                self._declare(Receiver(each, function, targets, always, place))
            return function

        return receive

    def goes(self, key: Hashable, target: State) -> None:
        """Declare that the key moves to the target, and does nothing else."""
        self._declare(Receiver(key, None, (target,), True, _caller()))

    def enter(self, hook: H) -> H:
        """Declare the decorated method, called as hook(self) on entering; it may only send."""
        self._declare(Receiver(ENTER, hook, (), False, _caller()))
        return hook

    def leave(self, hook: H) -> H:
        """Declare the decorated method, called as hook(self) on leaving; it may only send."""
        self._declare(Receiver(LEAVE, hook, (), False, _caller()))
        return hook

    def _declare(self, receiver: Receiver) -> None:
        if self.machine:
            raise TypeError(
                f"{receiver.place}: {self!r}: its class is complete, so no receiver of "
                f"{label(receiver.key)} can be added: a subclass may only override methods"
            )
        code = getattr(receiver.function, "__code__", None)
        if code is not None and code.co_flags & NOT_CALLED:
            raise TypeError(
                f"{receiver.place}: the receiver of {label(receiver.key)} would not run: it is "
                "called, not awaited or iterated: declare it without async and yield"
            )
        self.receivers.append(receiver)


def flatten(state: State) -> dict[Hashable, Receiver]:
    """Return all that is received while this state is current, by key.

    A child's receiver replaces its parent's, and a child's catch-all replaces all of them. A
    timeout belongs to the state that declares it: the key of its expiry is that State, and its
    receiver is that state's for Event.TIMEOUT, whatever the children declare.
    """
    received: dict[Hashable, Receiver] = {}
    expiries: dict[Hashable, Receiver] = {}
    for ancestor in state.path:
        own = {r.key: r for r in ancestor.receivers if r.key not in (ENTER, LEAVE)}
        received = own if ANY in own else received | own
        expiry = received.get(Event.TIMEOUT, received.get(ANY))
        if ancestor.seconds is not None and expiry is not None:
            expiries[ancestor] = expiry
    return received | expiries


def route(source: State, target: State) -> tuple[tuple[State, ...], tuple[State, ...]]:
    """Return the states that a move leaves, innermost first, and those it enters, outermost first.

    States that contain both stay entered; a move from a state to itself leaves and enters it.
    """
    shared = sum(a is b for a, b in zip(source.path, target.path, strict=False))
    shared -= source is target
    return source.path[shared:][::-1], target.path[shared:]


def label(key: Hashable) -> str:
    """Return a key as text for traces: TIMEOUT, Message, M0."""
    if isinstance(key, type):
        return key.__name__
    return key if isinstance(key, str) else repr(key)


def _caller() -> str:
    frame = sys._getframe(2)
    return f"{frame.f_code.co_filename}:{frame.f_lineno}"
