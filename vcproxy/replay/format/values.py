"""Values: plain data as bytes and back, nothing run on the way, unlike pickle.

Plain are None, bool, int, float, str, bytes, and lists, tuples and dicts of plain data. Exceptions
and verdicts are written as what they are made of.
"""

from __future__ import annotations

import sys
from contextlib import suppress
from dataclasses import fields, is_dataclass
from importlib import import_module
from typing import NamedTuple

from vcproxy.replay.format.varint import BrokenOctets, Cursor, counted, double, text, varint

DEEPEST = 100
"""Values within values: what is deeper goes in a circle, or is meant to hurt."""

Value = object
"""Plain data, Failure or Record."""


class NotPlain(TypeError):
    """Something is no plain data; the text says what."""


class FailureValue(NamedTuple):
    """An exception: the module and name of its class, and its arguments."""

    module: str
    name: str
    arguments: tuple[Value, ...]

    @classmethod
    def of(cls, error: Exception) -> FailureValue:
        """Take an exception to pieces. Arguments that are not plain become their text."""
        kind = type(error)
        arguments: tuple[Value, ...] = error.args
        try:
            pack(arguments)
        except NotPlain:
            arguments = (str(error),)
        return cls(kind.__module__, kind.__qualname__, arguments)

    def raised(self) -> Exception:
        """The exception again; where its class is not to be had, one of that name and text."""
        found = getattr(_home(self.module), self.name, None)
        kind: type[Exception] = (
            found
            if isinstance(found, type) and issubclass(found, Exception)
            else type(self.name, (Exception,), {"__module__": self.module})
        )
        with suppress(Exception):  # its author's own constructor may want something else
            error = kind(*self.arguments)
            if error.args == self.arguments:
                return error
        return kind.__new__(kind, *self.arguments)

    def __str__(self) -> str:
        return str(Exception(*self.arguments))


class RecordType(NamedTuple):
    """An instance of a dataclass, as a verdict: the module and name of its class, its fields."""

    module: str
    name: str
    fields: tuple[Value, ...]

    @classmethod
    def of(cls, thing: object) -> RecordType:
        """Take an instance to pieces."""
        kind = type(thing)
        values = tuple(getattr(thing, field.name) for field in fields(thing))  # type: ignore[arg-type]
        return cls(kind.__module__, kind.__qualname__, values)

    def made(self) -> object:
        """The instance again. Raises NotPlain if its class is not to be had."""
        kind = getattr(_home(self.module), self.name, None)
        if not (isinstance(kind, type) and is_dataclass(kind)):
            raise NotPlain(f"there is no dataclass {self.name} in {self.module}")
        return kind(*self.fields)


def _home(module: str) -> object:
    """A module that is there anyway, or that is one of ours."""
    if module.startswith("vcproxy."):
        with suppress(ImportError):
            return import_module(module)
    return sys.modules.get(module)


def plain(value: object) -> Value:
    """A value as it is written: an instance of a dataclass as Record."""
    return RecordType.of(value) if is_dataclass(value) and not isinstance(value, type) else value


def pack(value: Value) -> bytes:
    """Write a value. Raises NotPlain."""
    out: list[bytes] = []
    _pack(value, out, DEEPEST)
    return b"".join(out)


def _pack(value: Value, out: list[bytes], depth: int) -> None:
    if not depth:
        raise NotPlain("it is nested too deeply")
    kind = type(value)
    if value is None or kind is bool:
        out.append(b"N" if value is None else b"T" if value else b"F")
    elif isinstance(value, int) and kind is int:
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
        raise NotPlain(f"{kind.__qualname__} is no plain data")


def _pack_all(
    tag: bytes, values: tuple[Value, ...] | list[Value], out: list[bytes], depth: int
) -> None:
    out.append(tag + varint(len(values)))
    for value in values:
        _pack(value, out, depth - 1)


_SEQUENCES: dict[type, bytes] = {tuple: b"t", FailureValue: b"e", RecordType: b"r"}


def unpack(cursor: Cursor) -> Value:
    """Read the value that comes next. Raises BrokenOctets."""
    return _unpack(cursor, DEEPEST)


def _unpack(cursor: Cursor, depth: int) -> Value:
    if not depth:
        raise BrokenOctets("it is nested too deeply")
    tag = cursor.octet()
    plain = _PLAIN.get(tag)
    if plain is not None:
        return plain(cursor)
    if tag not in b"tlmer":
        raise BrokenOctets(f"{tag} begins no value")
    count = cursor.varint()
    if count > cursor.left:
        raise BrokenOctets("something is missing at its end")
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
        raise BrokenOctets("it is no exception and no verdict")
    return FailureValue(module, name, rest) if tag == ord("e") else RecordType(module, name, rest)


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
