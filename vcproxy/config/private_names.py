"""Private names of base classes, which a plugin must not define: it would replace their inside.

Tested in tests/config/test_private_names.py.
"""

from __future__ import annotations

from collections.abc import Iterator, Set
from types import CodeType, FunctionType

OURS, AUTHORS = "vcproxy.", "vcproxy.plugins."
"""How the modules of base classes begin, and, among these, those of bundled plugins."""


def redefined(plugin: type) -> tuple[str, type] | None:
    """Return a private name that an author's class defines, or sets on `self`, and the base class
    of vcproxy that uses the name itself; None: there is none."""
    bases = [each for each in plugin.__mro__ if each.__module__.startswith(OURS)]
    bases = [each for each in bases if not each.__module__.startswith(AUTHORS)]
    taken = {name: base for base in reversed(bases) for name in _private(base)}
    for author in plugin.__mro__:
        if author not in bases and author is not object:
            for name in (*_defined(author), *_stored(author, set(taken))):
                if name in taken:
                    return name, taken[name]
    return None


def _is_private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__")


def _private(base: type) -> Iterator[str]:
    """Yield the private names of a class: those defined, and those that its functions use."""
    yield from filter(_is_private, vars(base))
    for _, function in _functions(base):
        for name in function.__code__.co_names:
            if _is_private(name) and name not in function.__globals__:
                yield name


def _defined(author: type) -> Iterator[str]:
    """Yield the methods and slots of a class, without what its bases add to each subclass."""
    yield from (name for name, _ in _functions(author))
    slots = vars(author).get("__slots__", ())
    yield from (slots,) if isinstance(slots, str) else slots


def _stored(author: type, names: Set[str]) -> Iterator[str]:
    """Yield which of these names functions of a class set, on any object."""
    for _, function in _functions(author):
        if not names.isdisjoint(function.__code__.co_names):
            yield from _stored_by(function.__code__)


def _stored_by(code: CodeType) -> Iterator[str]:
    from dis import get_instructions  # seldom needed

    return (each.argval for each in get_instructions(code) if each.opname == "STORE_ATTR")


def _functions(cls: type) -> Iterator[tuple[str, FunctionType]]:
    for name, value in vars(cls).items():
        function = value.fget if isinstance(value, property) else value
        function = getattr(function, "__func__", function)  # of a class method
        if isinstance(function, FunctionType):
            yield name, function
