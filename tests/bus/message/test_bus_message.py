"""BusMessage: parsed, written, answered, and its parameters with types."""

from __future__ import annotations

import pytest

from vcproxy.bus.message.bus_message import BusMessage
from vcproxy.bus.message.invalid_message import InvalidMessage
from vcproxy.engine.address import Address


def test_a_line_with_all_parts_is_parsed_and_written() -> None:
    line = '<snap:web other:cluckd/LOCK name="a;b";note=one\\ntwo;timeout=30'
    message = BusMessage.parse(line + "\r\n")
    assert message == BusMessage(
        "LOCK",
        {"name": "a;b", "note": "one\ntwo", "timeout": "30"},
        server="other",
        service="cluckd",
        sent_from_server="snap",
        sent_from_service="web",
    )
    assert message.to_text() == line


def test_a_reply_goes_to_the_sender() -> None:
    reply = BusMessage.parse("<snap:web ALIVE serial=7").reply("ABSOLUTELY", serial=7, late=False)
    assert reply.to_text() == "snap:web/ABSOLUTELY late=false;serial=7"
    assert BusMessage("ALIVE").reply("ABSOLUTELY").to_text() == "ABSOLUTELY"


def test_parameters_with_types() -> None:
    message = BusMessage.parse("READY count=0x1F;at=-0.5;my_address=127.0.0.1:4042;version=1")
    assert message.integer("count") == 31
    assert message.timespec("at") == (-1, 500_000_000)
    assert message.address("my_address") == Address.parse("tcp://127.0.0.1:4042")
    assert message.version == 1
    assert message.get("serial") is None
    assert message.get("serial", "-") == "-"
    assert message.text("count") == "0x1F"
    assert BusMessage("READY").version is None


def test_a_parameter_of_another_type_is_an_error_that_names_it() -> None:
    message = BusMessage.parse("READY count=many")
    with pytest.raises(InvalidMessage, match='count="many" of READY: it is not an integer'):
        message.integer("count")
    with pytest.raises(InvalidMessage, match='READY has no parameter "at"'):
        message.timespec("at")


def test_json_is_parsed_and_written() -> None:
    text = '{"service":"cluckd","command":"LOCK","parameters":{"name":"a;b","timeout":30}}'
    message = BusMessage.parse(f" {text}\n")
    assert message == BusMessage("LOCK", {"name": "a;b", "timeout": "30"}, service="cluckd")
    assert message.to_json() == text
