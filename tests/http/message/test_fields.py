"""Fields: they work as a dictionary, and keep the lines as received."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vcproxy.http.message.fields import Fields

RAW = b"Host: a\r\nAccept: x\r\nSet-Cookie: b=1\r\nACCEPT:y\r\nEmpty:\r\nset-cookie: c=2\r\n"


def test_looking() -> None:
    fields = Fields(RAW)
    assert fields["host"] == "a"
    assert fields["accept"] == "x, y"
    assert fields.get_all("Set-Cookie") == ["b=1", "c=2"]
    assert fields["empty"] == ""
    assert "EMPTY" in fields
    assert "Emp" not in fields
    assert "x" not in fields
    assert fields.get("none") is None
    assert fields.get("none", "-") == "-"
    assert len(fields) == 6
    assert list(fields)[:3] == ["Host", "Accept", "Set-Cookie"]
    assert fields.items()[3:5] == [("ACCEPT", "y"), ("Empty", "")]
    assert fields.raw == RAW
    with pytest.raises(KeyError, match="none"):
        fields["none"]


def test_changing() -> None:
    fields = Fields(RAW)
    fields["accept"] = "z"
    fields["New"] = "1"
    fields.add("new", "2")
    del fields["Set-Cookie"]
    fields["Host"] = ""
    assert fields.raw == b"Host:\r\naccept: z\r\nEmpty:\r\nNew: 1\r\nnew: 2\r\n"
    with pytest.raises(KeyError):
        del fields["Set-Cookie"]


def test_taking_out() -> None:
    fields = Fields(RAW)
    assert fields.pop("ACCEPT") == "x, y"
    assert fields.pop("empty") == ""
    assert fields.raw == b"Host: a\r\nSet-Cookie: b=1\r\nset-cookie: c=2\r\n"
    assert fields.pop("accept", None) is None
    assert fields.pop("accept", "-") == "-"
    with pytest.raises(KeyError, match="accept"):
        fields.pop("accept")
    assert fields.pop("Host", None) == "a"
    assert fields.control == {}


def test_marks_follow_changes() -> None:
    fields = Fields(b"Connection: A\r\nVia: x\r\nConnection: B\r\n")
    assert fields.control == {b"connection": b"a, b", b"via": b"x"}
    fields["Content-Length"] = "5"
    assert fields.control == {b"connection": b"a, b", b"via": b"x", b"content-length": b"5"}
    del fields["Connection"]
    del fields["Via"]
    assert fields.control == {b"content-length": b"5"}


def test_fields_from_pairs() -> None:
    fields = Fields.of([("A", "1"), ("A", "2")])
    assert fields.raw == b"A: 1\r\nA: 2\r\n"
    copy = Fields.of(fields)
    copy["A"] = "3"
    assert (len(fields), len(copy)) == (2, 1)
    assert Fields.of({"A": "3"}) == copy
    assert len(Fields()) == 0


@pytest.mark.parametrize(
    ("name", "value", "why"),
    [
        ("", "b", "a name may have"),
        ("a b", "c", "a name may have"),
        ("a:", "c", "a name may have"),
        ("\xe4", "c", "a name may have"),
        ("A", "b\r\nC: d", "control character"),
        ("A", "b\0", "control character"),
        ("A", "b\n", "control character"),
        ("A", " b", "white space around"),
        ("A", "b\t", "white space around"),
        ("A", "\u20ac", "outside latin-1"),
        ("\u20ac", "a", "outside latin-1"),
    ],
)
def test_invalid_names_and_values_are_refused(name: str, value: str, why: str) -> None:
    fields = Fields(RAW)
    for change in (fields.add, fields.__setitem__):
        with pytest.raises(ValueError, match=why) as caught:
            change(name, value)
        assert repr(name) in str(caught.value)
    assert fields.raw == RAW


names = st.sampled_from(["A", "a", "B", "Ab", "Host", "Connection"])
values = st.sampled_from(["", "1", "a: b", "\xff", "x \t y"])
changes = st.lists(
    st.one_of(
        st.tuples(st.just("set"), names, values),
        st.tuples(st.just("add"), names, values),
        st.tuples(st.just("delete"), names, st.just("")),
    ),
    max_size=12,
)


@given(changes)
def test_a_list_of_pairs_behaves_alike(steps: list[tuple[str, str, str]]) -> None:
    fields, model = Fields(), list[tuple[str, str]]()
    for verb, name, value in steps:
        same = [at for at, (other, _) in enumerate(model) if other.lower() == name.lower()]
        if verb == "add" or (verb == "set" and not same):
            model.append((name, value))
            fields.add(name, value) if verb == "add" else fields.__setitem__(name, value)
        elif verb == "set":
            fields[name] = value
            model[same[0]] = name, value
            model = [pair for at, pair in enumerate(model) if at not in same[1:]]
        elif same:
            del fields[name]
            model = [pair for at, pair in enumerate(model) if at not in same]
        assert fields.items() == model
        assert fields.get_all(name) == [v for n, v in model if n.lower() == name.lower()]
    assert fields == Fields.of(model)


@given(
    st.lists(st.tuples(names, st.just("1")), max_size=12),
    st.sets(names.map(str.lower), max_size=3),
    st.integers(0, 12),
)
def test_fields_without_some_names(
    pairs: list[tuple[str, str]], without: set[str], others: int
) -> None:
    """The number of names is small or large: nine or more names use another algorithm, which is
    faster."""
    fields = Fields.of(pairs)
    gone = [name.encode() for name in without] + [b"other-%d" % n for n in range(others)]
    left = [(name, value) for name, value in pairs if name.lower() not in without]
    assert fields.without(gone) == b"\r\n" + Fields.of(left).raw


NAMES = st.sampled_from(
    ["Host", "host", "Via", "X-Forwarded-For", "X-A", "x_a", "Te", "Tea", "Vary"]
)
CHANGES = st.lists(
    st.tuples(st.sampled_from(["add", "set", "pop", "discard", "read"]), NAMES, st.just("v"))
)


@given(CHANGES)
def test_control_fields_are_those_of_the_lines_after_any_changes(
    changes: list[tuple[str, str, str]],
) -> None:
    fields = Fields.of({"Host": "a", "X-A": "b", "Via": "c"})
    for change, name, value in changes:
        match change:
            case "add":
                fields.add(name, value)
            case "set":
                fields[name] = value
            case "pop":
                fields.pop(name, None)
            case "discard":
                fields.discard(name)
        if change == "read":
            assert fields.control is fields.control
        assert fields.lower == fields.block.lower()
    assert fields.control == Fields(fields.raw).control
