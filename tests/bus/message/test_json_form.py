"""The JSON form: what is taken, refused and written."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.bus.message.test_text_form import messages
from vcproxy.bus.message.bus_message import BusMessage
from vcproxy.bus.message.invalid_message import InvalidMessage
from vcproxy.bus.message.text_form import LARGEST


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"command":"STOP"}', BusMessage("STOP")),
        (' {\n"command": "STOP", "parameters": {}}\r\n', BusMessage("STOP")),
        (
            '{"sent-from-server":"a","sent-from-service":"b","server":"c","service":"d",'
            '"command":"STOP"}',
            BusMessage("STOP", {}, "c", "d", "a", "b"),
        ),
        ('{"command":"STOP","server":"*","service":"?"}', BusMessage("STOP", {}, "*", "?")),
        ('{"comment":"unknown","command":"STOP"}', BusMessage("STOP")),
        ('{"command":"STOP","command":"GO"}', BusMessage("GO")),
    ],
)
def test_parsed(text: str, message: BusMessage) -> None:
    assert BusMessage.parse(text) == message


@pytest.mark.parametrize(
    ("value", "meant"),
    [
        ('"a;b\\n"', "a;b\n"),
        (r'"\\n"', r"\n"),  # the original makes a new line of it
        ('"5"', "5"),
        ("5", "5"),
        ("-0", "0"),
        ("12345678901234567890", "12345678901234567890"),
        ("5.0", "5"),
        ("5e2", "500"),
        ("-1.5", "-1.500000"),
        ("0.1234567", "0.123457"),
        ("true", "true"),
        ("false", "false"),
        ("null", ""),
    ],
)
def test_values(value: str, meant: str) -> None:
    message = BusMessage.parse(f'{{"command":"LOCK","parameters":{{"a":{value}}}}}')
    assert message == BusMessage("LOCK", {"a": meant})
    assert type(message.parameters["a"]) is str


@pytest.mark.parametrize(
    ("text", "reason", "column"),
    [
        ("{}", "the command is missing", None),
        ('{"parameters":{"a":1}}', "the command is missing", None),
        ('{"command":""}', "the command is missing", None),
        ('{"command":"A B"}', '"A B": a command consists of letters, digits and _', None),
        ('{"command":5}', 'the value of "command" is not a string', None),
        ('{"command":"A","server":null}', 'the value of "server" is not a string', None),
        ('{"command":"A","comment":{"a":1}}', 'the value of "comment" is not a string', None),
        ('{"command":"A","parameters":"a"}', '"parameters" is not an object', None),
        (
            '{"command":"A","parameters":{"a":[]}}',
            'the value of "a" is an array or an object',
            None,
        ),
        (
            '{"command":"A","parameters":{"a":{}}}',
            'the value of "a" is an array or an object',
            None,
        ),
        ('{"command":"A","parameters":{"a":"\\u0000"}}', "contains a NUL character", None),
        ('{"command":"A","parameters":{"a":"\\ud800"}}', 'the value of "a" is not Unicode', None),
        ('{"command":"A","parameters":{"a b":1}}', '"a b" is not the name of a parameter', None),
        ('{"command":"A","parameters":{"a":NaN}}', "NaN is no number", None),
        ('{"command":"A","parameters":{"a":-Infinity}}', "-Infinity is no number", None),
        ('{"command":"A","parameters":{"a":1e999}}', "the number 1e999 is too large", None),
        ('{"command":"A"} STOP', "the message is not JSON: Extra data", 17),
        ('{"command":"A"', "the message is not JSON: Expecting ',' delimiter", 15),
        ('{"command":"A\n"}', "the message is not JSON: Invalid control character at", 14),
        ("{'command':'A'}", "the message is not JSON: Expecting property name", 2),
        (f'{{"command":{"[" * 60_000}', "nested too deep", None),
    ],
)
def test_refused(text: str, reason: str, column: int | None) -> None:
    with pytest.raises(InvalidMessage) as refused:
        BusMessage.parse(text)
    assert reason in refused.value.reason
    assert refused.value.column == column


def test_a_message_of_64_kib_and_one_more() -> None:
    text = f'{{"command":"A","parameters":{{"a":"{"x" * (LARGEST - 37)}"}}}}'
    assert len(text) == LARGEST
    assert BusMessage.parse(text + "\r\n").to_json() == text
    with pytest.raises(InvalidMessage, match="at most 65536 bytes"):
        BusMessage.parse(text.replace("x", "xx", 1))
    with pytest.raises(InvalidMessage, match="at most 65536 bytes"):
        BusMessage("A", {"a": "ä" * 20_000}).to_json()


@pytest.mark.parametrize(
    ("value", "written"),
    [
        ("5", "5"),
        ("-5", "-5"),
        ("0", "0"),
        ("999999999999999", "999999999999999"),
        ("1000000000000000000", '"1000000000000000000"'),
        ("007", '"007"'),
        ("-0", '"-0"'),
        ("+5", '"+5"'),
        ("0x10", '"0x10"'),
        ("1.5", '"1.5"'),
        ("true", "true"),
        ("True", '"True"'),
        ("", '""'),
        ("\x01\n\\", '"\\u0001\\n\\\\"'),
    ],
)
def test_values_as_they_are_written(value: str, written: str) -> None:
    text = BusMessage("LOCK", {"a": value}).to_json()
    assert text == f'{{"command":"LOCK","parameters":{{"a":{written}}}}}'


def test_a_value_that_is_not_unicode_has_no_json_form() -> None:
    with pytest.raises(InvalidMessage, match='the value of "a" is not Unicode text'):
        BusMessage.parse("LOCK a=\udcff").to_json()


@given(messages)
def test_what_is_written_is_parsed_as_the_same(message: BusMessage) -> None:
    try:
        text = message.to_json()
    except InvalidMessage:  # surrogates, or longer than 64 KiB
        return
    assert text.isascii()
    assert "\n" not in text
    assert isinstance(json.loads(text), dict)
    assert BusMessage.parse(text) == message


@given(
    st.recursive(
        st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=3),
        lambda some: st.lists(some) | st.dictionaries(st.sampled_from(["command", "a"]), some),
    )
)
def test_any_json_is_taken_or_refused(value: object) -> None:
    text = '{"command":"A","parameters":' + json.dumps(value) + "}"
    try:
        message = BusMessage.parse(text)
    except InvalidMessage:
        return
    assert BusMessage.parse(message.to_text()) == message
