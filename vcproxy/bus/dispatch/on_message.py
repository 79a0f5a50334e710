"""on_message: declares which messages of the bus a method receives.

    class Doors(Program):
        @on_message("DOOR<number>")
        def door(self, received: ReceivedMessage) -> None:
            self.write(f"door {received.captured['number']}")
            received.reply("DONE")

It works in every subclass of Continuation: sessions, programs, machines, processes. The class is
checked when it is made: TypeError for a pattern that is declared twice, for parameters that
contradict, for a method that cannot be called with one ReceivedMessage, and for one that hides a
method of a base class. A subclass may override the method, without declaring it again.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar, cast

from vcproxy.bus.dispatch.dispatcher import (
    DEFAULT_PRIORITY,
    FIRST_PRIORITY,
    LAST_PRIORITY,
    Callback,
    Dispatcher,
)
from vcproxy.bus.dispatch.pattern import InvalidPattern, Pattern
from vcproxy.bus.message.definitions import TYPES, Definition, ParameterDefinition
from vcproxy.engine.continuation import ClassDeclaration, Continuation
from vcproxy.machine.state import NOT_CALLED

if TYPE_CHECKING:
    from vcproxy.bus.dispatch.received_message import ReceivedMessage

F = TypeVar("F", bound="Callable[[Any, ReceivedMessage], None]")


def on_message(
    pattern: str,
    *patterns: str,
    priority: int = DEFAULT_PRIORITY,
    parameters: Sequence[ParameterDefinition] = (),
) -> Callable[[F], F]:
    """Declare the decorated method, called as method(self, received), to receive these messages.

    Patterns: see Pattern. Raises TypeError for one that is none. `parameters`: what the messages
    must have; one that has not is answered with INVALID, and the method is not called. HELP
    describes the messages with these and the first line of the method's docstring.
    """
    frame = sys._getframe(1)
    place = f"{frame.f_code.co_filename}:{frame.f_lineno}"
    for each in (pattern, *patterns):
        try:
            Pattern(each)
        except InvalidPattern as error:
            raise TypeError(f"{place}: on_message: {error}") from None

    def declare(function: F) -> F:
        method = MessageMethod(function, (pattern, *patterns), priority, tuple(parameters), place)
        return cast(F, method)

    return declare


class MessageMethod(ClassDeclaration):
    """A method with its patterns: what on_message makes. Called on an object, it is the method."""

    __slots__ = ("function", "name", "parameters", "patterns", "place", "priority")

    def __init__(
        self,
        function: Callable[..., object],
        patterns: tuple[str, ...],
        priority: int,
        parameters: tuple[ParameterDefinition, ...],
        place: str,
    ) -> None:
        self.function = function
        self.patterns = patterns
        self.priority = priority
        self.parameters = parameters
        self.place = place
        """FILE:LINE of the declaration."""
        self.name = getattr(function, "__name__", "")

    def __get__(self, instance: object, owner: type) -> object:
        return self if instance is None else self.function.__get__(instance, owner)

    def definition(self, pattern: str) -> Definition:
        """Return the definition of one of its patterns."""
        description = (inspect.getdoc(self.function) or "").partition("\n")[0]
        return Definition(pattern, description, self.parameters)

    def __set_name__(self, owner: type, name: str) -> None:
        """Raise TypeError in a class that receives no events: nothing would call the method."""
        if not issubclass(owner, Continuation):
            raise TypeError(
                f"{self._in(owner)}: {owner.__name__} is not a Session, Program, Machine, Process "
                "or another Continuation: no message reaches it"
            )

    def class_made(self, cls: type[Continuation]) -> None:
        """Check it in the class that declares it. Raises TypeError."""
        where = self._in(cls)
        self._check_function(where)
        self._check_parameters(where)
        bases = [base for base in cls.__mro__[1:] if self.name in vars(base)]
        if bases and not any(isinstance(vars(base)[self.name], MessageMethod) for base in bases):
            raise TypeError(f"{where}: it hides {bases[0].__qualname__}.{self.name}: rename it")
        declared: dict[str, str] = {}
        for name, method in message_methods(cls).items():
            for each in method.patterns:
                if each in declared:
                    raise TypeError(
                        f'{where}: "{each}" is declared twice, by {declared[each]} and {name}: '
                        "one method receives it"
                    )
                declared[each] = name
        cls.receives_messages = True

    def _in(self, cls: type) -> str:
        return f"{self.place}: {cls.__qualname__}.{self.name} on {', '.join(self.patterns)}"

    def _check_function(self, where: str) -> None:
        function = self.function
        if not inspect.isfunction(function):
            raise TypeError(f"{where}: it is not a method: decorate `def {self.name}(self, ...)`")
        if function.__code__.co_flags & NOT_CALLED:
            raise TypeError(f"{where}: it is a generator or async: a call would not run it")
        try:
            inspect.signature(function).bind(None, None)
        except TypeError:
            raise TypeError(
                f"{where}: it is called as {self.name}(self, received): "
                f"it takes {inspect.signature(function)}"
            ) from None
        if not FIRST_PRIORITY <= self.priority <= LAST_PRIORITY:
            raise TypeError(f"{where}: the priority is {self.priority}: it must be 0 to 15")

    def _check_parameters(self, where: str) -> None:
        names: set[str] = set()
        for each in self.parameters:
            if not (each.name.isascii() and each.name.isidentifier()):
                raise TypeError(f'{where}: "{each.name}" is not the name of a parameter')
            if each.name in names:
                raise TypeError(f'{where}: the parameter "{each.name}" is there twice')
            if each.type not in TYPES:
                known = ", ".join(TYPES)
                raise TypeError(f'{where}: "{each.type}" is not a type: {known} are')
            if each.required and each.forbidden:
                raise TypeError(
                    f'{where}: the parameter "{each.name}" is required and forbidden: no message '
                    "would reach the method"
                )
            names.add(each.name)


def message_methods(cls: type) -> dict[str, MessageMethod]:
    """Return the declarations of a class and its bases, by the names of the methods.

    Those of bases come first, each in the order of declaration.
    """
    found: dict[str, MessageMethod] = {}
    for base in reversed(cls.__mro__):
        own = vars(base).items()
        found |= {name: value for name, value in own if isinstance(value, MessageMethod)}
    return found


def declarations(cls: type) -> tuple[object, ...]:
    """Return what a class declares, as a value: equal for classes of the same declarations."""
    return tuple(
        (name, method.patterns, method.priority, method.definition(""))
        for name, method in message_methods(cls).items()
    )


def add_methods(
    dispatcher: Dispatcher, cls: type, callback_of: Callable[[str], Callback], *, tag: int = 0
) -> None:
    """Add the methods that a class declares. `callback_of` returns the callback of a name:
    `partial(getattr, receiver)` calls the methods of one object."""
    for name, method in message_methods(cls).items():
        for pattern in method.patterns:
            defined = not method.parameters and dispatcher.defines(pattern)
            dispatcher.add(
                pattern,
                callback_of(name),
                priority=method.priority,
                tag=tag,
                definition=None if defined else method.definition(pattern),
            )
