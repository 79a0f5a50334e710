"""The JSON form of messages: an object in one line (eventdispatcher.md 1).

    {"server": "snap", "service": "cluckd", "command": "LOCK", "parameters": {"timeout": 30}}

`sent-from-server` and `sent-from-service` may be there too. Values of parameters are strings,
numbers, true and false, or null for an empty value; a message has all of them as text.
"""

from __future__ import annotations

import json
import re
from json import JSONDecodeError
from typing import TYPE_CHECKING

from vcproxy.bus.message.invalid_message import InvalidMessage, MessageTooLong
from vcproxy.bus.message.text_form import BLANKS, LARGEST, Fields, check_fields, check_size

if TYPE_CHECKING:
    from vcproxy.bus.message.bus_message import BusMessage

_INTEGER = re.compile(r"-?[1-9][0-9]{0,14}|0")
"""What is written as a number: an integer that every reader of JSON reads back as the same text,
also one that has floating-point numbers only (up to 2^53, RFC 8259 6)."""


class _Number(str):
    """The text of a number, to tell it from a string."""

    __slots__ = ()


def parse_json(text: str) -> Fields:
    """Return what the JSON text of a message consists of.

    Raises InvalidMessage with the reason, and the column where it is not JSON. The caller checks
    the names, which may contain everything here (`check_fields`).
    """
    check_size(text.strip(BLANKS))
    try:
        found = json.loads(
            text, parse_int=_integer, parse_float=_decimal, parse_constant=_no_constant
        )
    except JSONDecodeError as error:
        raise InvalidMessage(f"the message is not JSON: {error.msg}", error.pos + 1) from None
    except RecursionError:
        raise InvalidMessage("the message is not JSON: its arrays are nested too deep") from None
    if not isinstance(found, dict):  # only where a caller has not looked for the brace
        raise InvalidMessage("the message is not a JSON object")
    parameters = found.pop("parameters", {})
    if not isinstance(parameters, dict):
        raise InvalidMessage('"parameters" is not an object')
    for key, value in found.items():
        if not isinstance(value, str) or isinstance(value, _Number):
            raise InvalidMessage(f'the value of "{key}" is not a string')
    return (
        found.get("command", ""),
        {name: _text(name, value) for name, value in parameters.items()},
        found.get("server", ""),
        found.get("service", ""),
        found.get("sent-from-server", ""),
        found.get("sent-from-service", ""),
    )


def _integer(text: str) -> _Number:
    return _Number("0" if text == "-0" else text)


def _decimal(text: str) -> _Number:
    number = float(text)
    if not abs(number) < 1e300:
        raise InvalidMessage(f"the number {text} is too large")
    whole = number == int(number)
    return _Number(int(number) if whole else f"{number:.6f}")


def _no_constant(text: str) -> None:
    raise InvalidMessage(f"the message is not JSON: {text} is no number")


def _text(name: str, value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if value is None:
        return ""
    if not isinstance(value, str):
        raise InvalidMessage(f'the value of "{name}" is an array or an object')
    _check_unicode(name, value)
    return str(value)


def _check_unicode(name: str, value: str) -> None:
    try:
        value.encode()
    except UnicodeEncodeError:
        raise InvalidMessage(f'the value of "{name}" is not Unicode text') from None


def to_json(message: BusMessage) -> str:
    """Return the message as JSON in one line of ASCII, parameters in the order of their names.

    Raises InvalidMessage if names or values have characters that no message can have, a value is
    not Unicode text, or the line has more than 64 KiB.
    """
    check_fields(message)
    fields: dict[str, object] = {}
    if message.sent_from_server:
        fields["sent-from-server"] = message.sent_from_server
    if message.sent_from_service:
        fields["sent-from-service"] = message.sent_from_service
    if message.service:  # the server alone is not sent, as in the text form
        if message.server:
            fields["server"] = message.server
        fields["service"] = message.service
    fields["command"] = message.command
    if message.parameters:
        parameters = sorted(message.parameters.items())
        fields["parameters"] = {name: _json_value(name, value) for name, value in parameters}
    text = json.dumps(fields, separators=(",", ":"))
    if len(text) > LARGEST:
        raise MessageTooLong(f"a message has at most {LARGEST} bytes, this one has {len(text)}")
    return text


def _json_value(name: str, value: str) -> object:
    if value in ("true", "false"):
        return value == "true"
    if _INTEGER.fullmatch(value):
        return int(value)
    _check_unicode(name, value)
    return value
