"""Formats of records: JSON, lines, templates, and what is wrong with a template."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vcproxy.access_log.fields import FIELDS, KINDS, fields_of
from vcproxy.access_log.pattern import Pattern, UnknownField, check, compiled


def test_json_has_every_field_of_its_kind_in_order() -> None:
    for kind in KINDS:
        record = json.loads(compiled("json", kind).line({"bytes_up": 3, "time_total": 0.0125}))
        names = [field.name for field in fields_of(kind)]
        assert list(record) == [name for name in names if name != "extra"]
        assert (record["bytes_up"], record["time_total"], record["end"]) == (3, 12.5, None)


@given(st.one_of(st.text(), st.binary()))
def test_any_text_makes_one_line_of_valid_json(text: str | bytes) -> None:
    line = compiled("json", "tcp").line({"client": text, "extra": {"a": str(text)}})
    assert line.count(b"\n") == 1
    shown = text if isinstance(text, str) else text.decode(errors="backslashreplace")
    record = json.loads(line)
    assert record["client"] == shown
    assert record["extra"] == {"a": str(text)}


@given(st.one_of(st.text(), st.binary()))
def test_any_text_makes_one_line_of_a_template(text: str | bytes) -> None:
    line = compiled('"{client}"', "tcp").line({"client": text}).decode()
    assert line.count("\n") == 1
    assert line[:-1].isprintable() or not line.isascii()
    assert line[0] == line[-2] == '"'
    assert '"' not in line[1:-2].replace("\\\\", "").replace('\\"', "")


def test_a_template_has_fields_braces_and_extra_fields() -> None:
    pattern = compiled("{{{client}}} 100% {time_total} {tried} {verdicts} {extra.user}", "tcp")
    line = pattern.line(
        {
            "client": "10.0.0.1:4711",
            "time_total": 1.5,
            "tried": ["a", "b"],
            "verdicts": {"accept": 2, "reject": 1},
            "extra": {"user": "ann"},
        }
    )
    assert line == b"{10.0.0.1:4711} 100% 1500.0 a,b accept=2,reject=1 ann\n"
    assert pattern.line({}) == b"{-} 100% - - - -\n"


def test_what_is_the_same_is_filled_in_once() -> None:
    pattern = compiled("{listener} 5% {client} {end}", "tcp").filled({"listener": "100%"})
    assert pattern.names == ("client", "end")
    assert pattern.template % (b"c", b"--") == b"100% 5% c --\n"
    assert pattern.line({"client": "c", "end": "--"}) == b"100% 5% c --\n"


@pytest.mark.parametrize("kind", KINDS)
def test_a_filled_pattern_writes_the_same_line(kind: str) -> None:
    values: dict[str, object] = {
        field.name: {"text": "t%", "integer": 1, "milliseconds": 0.1}.get(field.type)
        for field in FIELDS
    }
    for form in ("json", "line"):
        whole: Pattern = compiled(form, kind)
        for name in whole.names:
            assert whole.filled({name: values[name]}).line(values) == whole.line(values)


@pytest.mark.parametrize(
    ("form", "wrong"),
    [
        ("{clinet}", 'there is no field "clinet"; did you mean "client"?'),
        ("{xyzzy}", 'there is no field "xyzzy"'),
        ("{client", '"{" stands alone: write {{ for the character'),
        ("client}", '"}" stands alone: write }} for the character'),
        ("a\tb", "contains a control character: a record is one line"),
        ("{extra}{extra.}", 'there is no field "extra."'),
    ],
)
def test_what_is_wrong_with_a_template(form: str, wrong: str) -> None:
    with pytest.raises(UnknownField) as raised:
        check(form)
    assert str(raised.value).startswith(wrong)
