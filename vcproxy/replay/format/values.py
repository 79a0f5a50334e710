"""Values: plain data encoded as bytes. Unlike pickle, decoding runs no code.

Plain data are None, bool, int, float, str, bytes, and lists, tuples and dicts of plain data.
Exceptions and dataclass instances (verdicts) are encoded as their class and their fields.
Tested in tests/replay/test_format.py.
"""

from __future__ import annotations

import sys
from contextlib import suppress
from dataclasses import fields, is_dataclass
from enum import IntFlag
from importlib import import_module
from typing import NamedTuple, TypeAlias

from vcproxy.replay.format.varint import (
    LONGEST_VARINT,
    BrokenOctets,
    Cursor,
    counted,
    double,
    text,
    varint,
)

MAX_DEPTH = 100
"""Levels of nesting: deeper data is circular or malicious."""

Pairs: TypeAlias = tuple[tuple[int, int], ...]
"""Pairs of numbers that are not negative."""

Value = object
"""Plain data, FailureValue or DataclassValue."""


class NotPlain(TypeError):
    """An object is not plain data. The text contains its class."""


class FailureValue(NamedTuple):
    """An exception: the module and name of its class, and its arguments."""

    module: str
    name: str
    arguments: tuple[Value, ...]

    @classmethod
    def of(cls, error: Exception) -> FailureValue:
        """Convert an exception. Arguments that are not plain data are converted to text."""
        kind = type(error)
        arguments: tuple[Value, ...] = error.args
        try:
            pack(arguments)
        except NotPlain:
            arguments = (str(error),)
        return cls(kind.__module__, kind.__qualname__, arguments)

    def to_exception(self) -> Exception:
        """Return the exception. If its class is not found, a new one of the same name is used."""
        found = getattr(_module(self.module), self.name, None)
        kind: type[Exception] = (
            found
            if isinstance(found, type) and issubclass(found, Exception)
            else type(self.name, (Exception,), {"__module__": self.module})
        )
        with suppress(Exception):  # a class with a constructor of its own may take other arguments
            error = kind(*self.arguments)
            if error.args == self.arguments:
                return error
        return kind.__new__(kind, *self.arguments)

    def __str__(self) -> str:
        return str(Exception(*self.arguments))


class DataclassValue(NamedTuple):
    """An instance of a dataclass, such as a verdict: module and name of its class, its fields."""

    module: str
    name: str
    fields: tuple[Value, ...]

    @classmethod
    def of(cls, thing: object) -> DataclassValue:
        """Convert an instance. Flags become numbers: its class makes flags of them again."""
        kind = type(thing)
        values = tuple(
            int(value) if isinstance(value, IntFlag) else value
            for value in (getattr(thing, field.name) for field in fields(thing))  # type: ignore[arg-type]
        )
        return cls(kind.__module__, kind.__qualname__, values)

    def rebuild(self) -> object:
        """Return the instance. Raises NotPlain if its class cannot be found."""
        kind = getattr(_module(self.module), self.name, None)
        if not (isinstance(kind, type) and is_dataclass(kind)):
            raise NotPlain(f"no dataclass {self.name} in {self.module}")
        return kind(*self.fields)

    def show(self) -> str:
        """Return its class and its values as text; flags by their names, if the class is here."""
        values = self.fields
        with suppress(NotPlain, TypeError, ValueError):
            whole = self.rebuild()
            values = tuple(getattr(whole, field.name) for field in fields(whole))  # type: ignore[arg-type]
        shown = [value.name if isinstance(value, IntFlag) else repr(value) for value in values]
        return " ".join((self.name, *(text or "0" for text in shown)))


def _module(module: str) -> object:
    """Return a module that is already imported or belongs to vcproxy; otherwise None."""
    # importing __main__ would run vcproxy
    if module.startswith("vcproxy.") and not module.endswith("__main__"):
        with suppress(ImportError):
            return import_module(module)
    return sys.modules.get(module)


def plain(value: object) -> Value:
    """Return a value, converted to a DataclassValue if it is a dataclass instance."""
    return (
        DataclassValue.of(value) if is_dataclass(value) and not isinstance(value, type) else value
    )


def pack(value: Value) -> bytes:
    """Encode a value. Raises NotPlain."""
    out: list[bytes] = []
    _pack(value, out, MAX_DEPTH)
    return b"".join(out)


def _pack(value: Value, out: list[bytes], depth: int) -> None:
    if not depth:
        raise NotPlain("the data is nested too deeply")
    kind = type(value)
    if value is None or kind is bool:
        out.append(b"N" if value is None else b"T" if value else b"F")
    elif isinstance(value, int) and kind is int:
        if value.bit_length() > 7 * LONGEST_VARINT:
            raise NotPlain(f"an integer of {value.bit_length()} bits is too large")
        out.append((b"-" if value < 0 else b"+") + varint(abs(value)))
    elif isinstance(value, float) and kind is float:
        out.append(b"d" + double(value))
    elif isinstance(value, str) and kind is str:
        out.append(b"s" + text(value))
    elif isinstance(value, bytes) and kind is bytes:
        out.append(b"b" + counted(value))
    elif isinstance(value, tuple) and kind in _SEQUENCES:
        _pack_all(_SEQUENCES[kind], value, out, depth)
    elif isinstance(value, list) and kind is list:
        _pack_all(b"l", value, out, depth)
    elif isinstance(value, dict) and kind is dict:
        flat = [item for pair in value.items() for item in pair]
        _pack_all(b"m", flat, out, depth)
    else:
        raise NotPlain(f"{kind.__qualname__} is not plain data")


def _pack_all(
    tag: bytes, values: tuple[Value, ...] | list[Value], out: list[bytes], depth: int
) -> None:
    out.append(tag + varint(len(values)))
    for value in values:
        _pack(value, out, depth - 1)


def pack_pairs(pairs: Pairs) -> bytes:
    """Encode pairs of numbers. The result is that of `pack`, in a third of the time."""
    return b"".join(
        [b"t", varint(len(pairs)), *[_PAIR + varint(a) + b"+" + varint(b) for a, b in pairs]]
    )


def unpack_pairs(cursor: Cursor) -> Pairs:
    """Decode what `pack_pairs` has encoded. Raises BrokenOctets."""
    if cursor.octet() != ord("t"):
        raise BrokenOctets("not a tuple")
    pairs = []
    for _ in range(cursor.varint()):
        if cursor.take(len(_PAIR)) != _PAIR:
            raise BrokenOctets("not a pair of numbers")
        first = cursor.varint()
        if cursor.octet() != ord("+"):
            raise BrokenOctets("not a pair of numbers")
        pairs.append((first, cursor.varint()))
    return tuple(pairs)


_PAIR = b"t\2+"
_SEQUENCES: dict[type, bytes] = {tuple: b"t", FailureValue: b"e", DataclassValue: b"r"}


def unpack(cursor: Cursor) -> Value:
    """Decode the next value. Raises BrokenOctets."""
    return _unpack(cursor, MAX_DEPTH)


def _unpack(cursor: Cursor, depth: int) -> Value:
    if not depth:
        raise BrokenOctets("the data is nested too deeply")
    tag = cursor.octet()
    plain = _PLAIN.get(tag)
    if plain is not None:
        return plain(cursor)
    if tag not in b"tlmer":
        raise BrokenOctets(f"unknown value type {tag}")
    count = cursor.varint()
    if count > cursor.left:
        raise BrokenOctets("the data ends inside an entry")
    values = [_unpack(cursor, depth - 1) for _ in range(count)]
    if tag == ord("l"):
        return values
    if tag == ord("t"):
        return tuple(values)
    try:
        if tag == ord("m"):
            return dict(zip(values[::2], values[1::2], strict=True))
        module, name, rest = values
    except (TypeError, ValueError) as error:
        raise BrokenOctets(str(error)) from None
    if not (isinstance(module, str) and isinstance(name, str) and isinstance(rest, tuple)):
        raise BrokenOctets("malformed exception or dataclass")
    return (
        FailureValue(module, name, rest) if tag == ord("e") else DataclassValue(module, name, rest)
    )


_PLAIN = {
    ord("N"): lambda cursor: None,
    ord("T"): lambda cursor: True,
    ord("F"): lambda cursor: False,
    ord("+"): Cursor.varint,
    ord("-"): lambda cursor: -cursor.varint(),
    ord("d"): Cursor.double,
    ord("s"): Cursor.text,
    ord("b"): Cursor.counted,
}
