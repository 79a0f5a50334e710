"""Hypothesis strategies for values, entries and logs, and a function that writes a log."""

from __future__ import annotations

from pathlib import Path
from types import UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

from hypothesis import strategies as st

from vcproxy.replay.format.entries import KINDS, Entry
from vcproxy.replay.format.header import Header
from vcproxy.replay.format.values import DataclassValue, FailureValue, Value
from vcproxy.replay.format.writer import Writer

NUMBERS = st.integers(min_value=0, max_value=1 << 40)
TEXT = st.text(max_size=20)
DATA = st.binary(max_size=200)

PLAIN = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | TEXT | DATA


def _within(inner: st.SearchStrategy[Value]) -> st.SearchStrategy[Value]:
    some = st.lists(inner, max_size=4)
    return (
        some
        | some.map(tuple)
        | st.dictionaries(TEXT, inner, max_size=4)
        | st.builds(FailureValue, TEXT, TEXT, some.map(tuple))
        | st.builds(DataclassValue, TEXT, TEXT, some.map(tuple))
    )


VALUES = st.recursive(PLAIN, _within, max_leaves=8)


def _of(hint: Any) -> st.SearchStrategy[Any]:
    """Return a strategy for the fields of a type."""
    simple = {int: NUMBERS, bool: st.booleans(), str: TEXT, bytes: DATA, object: VALUES,
              float: st.floats(allow_nan=False), type(None): st.none()}  # fmt: skip
    if hint in simple:
        return simple[hint]
    if hint is FailureValue:
        return st.builds(FailureValue, TEXT, TEXT, st.lists(PLAIN, max_size=2).map(tuple))
    origin, inner = get_origin(hint), get_args(hint)
    if origin in (Union, UnionType):
        return st.one_of(*map(_of, inner))
    if origin is dict:
        return st.dictionaries(_of(inner[0]), _of(inner[1]), max_size=3)
    assert origin is tuple
    if inner[-1] is Ellipsis:
        return st.lists(_of(inner[0]), max_size=3).map(tuple)
    return st.tuples(*map(_of, inner))


def _kind(kind: type[Entry]) -> st.SearchStrategy[Entry]:
    return st.tuples(*map(_of, get_type_hints(kind).values())).map(kind._make)


ENTRIES: st.SearchStrategy[Entry] = st.one_of(*map(_kind, KINDS))

TURNS = st.lists(st.lists(ENTRIES, min_size=1, max_size=4), max_size=5)

HEADER = Header("3.11.9", "0.1.0", "17", 4, "/etc/proxy.toml", "[proxy]\n", {"echo": b"pass\n"})


def written(path: Path, turns: list[list[Entry]], header: Header = HEADER) -> bytes:
    """Write a log; return the bytes of its file."""
    path.unlink(missing_ok=True)
    writer = Writer(path, header)
    for turn in turns:
        for entry in turn:
            writer.add(entry)
        writer.cut()
    writer.close()
    return path.read_bytes()
