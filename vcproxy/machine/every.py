"""every: declares a method that is called again and again while its object lives.

    class Board(Program):
        @every("5s")
        def refresh(self) -> None: ...

It works in sessions, programs, other machines, filters, and in the classes of objects that
`service.share` creates. A subclass may override the method without declaring it again.

Tested in tests/sessions/test_every.py.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar, cast

from vcproxy.engine.sources.periodic_call import PeriodicCall
from vcproxy.engine.sources.ticks import SHORTEST_S
from vcproxy.engine.units import duration, show_duration
from vcproxy.machine.state import NOT_CALLED

if TYPE_CHECKING:
    from vcproxy.engine.continuation import Continuation

F = TypeVar("F", bound="Callable[[Any], None]")


def every(interval: str = "", *, option: str = "") -> Callable[[F], F]:
    """Declare the decorated method, called as method(self), to be called at an interval.

    Args:
        interval: a duration, as "5s", from 1 ms on.
        option: instead, the name of an option of the type Duration; 0s: it is not called.

    The first call comes after one interval. A late call does not shift the next ones, and of those
    that were missed one is made. The calls end with the object: a session or machine in its final
    state, a program that is stopped, the last session of a filter's or shared object's service.
    An exception closes the conversation, as in other callbacks. Raises TypeError for an interval
    that is none, and for a method that cannot be called so.
    """
    frame = sys._getframe(1)
    place = f"{frame.f_code.co_filename}:{frame.f_lineno}"
    if bool(interval) is bool(option):
        raise TypeError(f'{place}: every: write an interval, as "5s", or option="its name"')
    seconds = 0.0
    if interval:
        try:
            seconds = duration(interval)
        except ValueError as error:
            raise TypeError(f"{place}: every: {error}") from None
        if seconds < SHORTEST_S:
            raise TypeError(f'{place}: every: "{interval}" is too short: 1ms is the shortest')

    def declare(function: F) -> F:
        return cast(F, PeriodicMethod(function, seconds, option, place))

    return declare


class PeriodicMethod:
    """A method with its interval: what `every` makes. Called on an object, it is the method."""

    __slots__ = ("function", "option", "place", "seconds")

    def __init__(
        self, function: Callable[..., object], seconds: float, option: str, place: str
    ) -> None:
        """`place`: FILE:LINE of the declaration. Raises TypeError for a function that cannot be
        called as a method without arguments."""
        name = getattr(function, "__qualname__", function)
        if not inspect.isfunction(function):
            raise TypeError(f"{place}: every: {name} is not a method: decorate `def name(self)`")
        if function.__code__.co_flags & NOT_CALLED:
            raise TypeError(f"{place}: every: {name} is a generator or async: a call would not run")
        try:
            inspect.signature(function).bind(None)
        except TypeError:
            takes = inspect.signature(function)
            raise TypeError(
                f"{place}: every: {name} is called without arguments: it takes {takes}"
            ) from None
        self.function = function
        self.seconds = seconds
        """The interval; 0: that of the option."""
        self.option = option
        self.place = place

    def __set_name__(self, owner: Any, name: str) -> None:
        owner.periodic = True

    def __get__(self, instance: object, owner: type) -> object:
        return self if instance is None else self.function.__get__(instance, owner)

    @property
    def shown(self) -> str:
        """The interval as text, or the name of the option that has it."""
        return show_duration(self.seconds) if self.seconds else f"option {self.option}"

    def interval_s(self, options: object) -> float:
        """Return the interval with these options. Raises TypeError if they do not have it."""
        if not self.option:
            return self.seconds
        seconds = getattr(options, self.option, None)
        if not isinstance(seconds, int | float) or 0 < seconds < SHORTEST_S or seconds < 0:
            raise TypeError(
                f"{self.place}: every: the option {self.option} is {seconds!r}: it must be a "
                "Duration of 1ms or more, or 0s"
            )
        return seconds


def periodic_methods(cls: type) -> Iterator[tuple[str, PeriodicMethod]]:
    """Yield the names and declarations of a class: those of bases first."""
    found: dict[str, PeriodicMethod] = {}
    for base in reversed(cls.__mro__):
        own = vars(base).items()
        found |= {name: value for name, value in own if isinstance(value, PeriodicMethod)}
    yield from found.items()


def start_periodic(
    cont: Continuation, name: str, cls: type, options: object, call: Callable[[str], None]
) -> None:
    """Call the declared methods of a class from now on, until the sources of `cont` are closed.

    Args:
        cont: under its mutex, which is held.
        name: what the sources are named after: that of the session or listener.
        cls: the class that declares the methods.
        options: those of its object.
        call: calls a method of the object, by its name.

    Raises TypeError: see `interval_s`.
    """
    for method, declared in periodic_methods(cls):
        seconds = declared.interval_s(options)
        if seconds:
            PeriodicCall(cont, f"{name} {method}", seconds, partial(call, method))
