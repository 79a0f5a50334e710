"""FramingOptions: the framing that a configuration describes; parse_json."""

from __future__ import annotations

from pathlib import Path
from typing import Any, get_args

import pytest

from vcproxy import api
from vcproxy.config.options import read_options
from vcproxy.config.plugin_loader import PluginLoader
from vcproxy.framing import framing as framings
from vcproxy.framing.framing import Framing
from vcproxy.framing.options import (
    KINDS,
    FramingName,
    OptionalFramingOptions,
    RefusingOptions,
    parse_json,
)


@pytest.mark.parametrize(
    ("options", "framing"),
    [
        ({}, framings.UNFRAMED),
        ({"framing": "lines", "limit": 10}, framings.lines(10)),
        ({"framing": "json-lines"}, framings.json_lines()),
        ({"framing": "delimiter", "delimiter": "|"}, framings.delimiter(b"|")),
        ({"framing": "length-prefix", "width": 2}, framings.length_prefix(2)),
        (
            {"framing": "length-prefix", "width": 4, "byte_order": "little", "inclusive": True},
            framings.length_prefix(4, "little", inclusive=True),
        ),
        ({"framing": "netstring"}, framings.netstring()),
        ({"framing": "fixed", "size": 7}, framings.fixed(7)),
        ({"framing": "delimiter", "delimiter": [0, 255]}, framings.delimiter(b"\0\xff")),
        (
            {"framing": "length-at", "offset": 2, "width": 2, "counts": "frame"},
            api.length_at(2, 2, counts="frame"),
        ),
        (
            {"framing": "length-at", "offset": 4, "width": 3, "header": 1, "byte_order": "little"},
            api.length_at(4, 3, "little", header=1),
        ),
        (
            {"framing": "between", "start": [2], "end": "\3\r", "gaps": "skip", "check": "xor"},
            api.between(b"\2", b"\3\r", "skip", "xor"),
        ),
        ({"framing": "slip", "check": "crc32"}, api.checked(api.slip(), "crc32")),
        (
            {
                "framing": "length-at",
                "offset": 0,
                "width": 1,
                "check": "sum",
                "check_at": -1,
                "check_first": 1,
            },
            api.checked(api.length_at(0, 1), "sum", -1, 1),
        ),
        ({"framing": "hdlc"}, api.hdlc()),
        ({"framing": "hdlc", "check": ""}, api.hdlc("")),
        ({"framing": "cobs", "limit": 9}, api.cobs(9)),
        ({"framing": "mqtt"}, api.mqtt()),
        (
            {"framing": "header-fields", "length_field": "L", "whole": True},
            api.header_fields("L", whole=True),
        ),
        ({"framing": "stomp"}, api.stomp()),
        ({"framing": "rfc6587", "encoding": "newline"}, api.rfc6587("newline")),
        ({"framing": "mllp"}, api.mllp()),
        ({"framing": "resp"}, api.resp()),
        ({"framing": "mbap"}, api.mbap()),
        ({"framing": "tpkt"}, api.tpkt()),
        ({"framing": "iec104"}, api.iec104()),
        ({"framing": "dns-tcp"}, api.dns_tcp()),
        ({"framing": "postgresql"}, api.postgresql("client")),
        ({"framing": "fix"}, api.fix()),
        ({"framing": "nmea", "unchecked": True}, api.nmea(unchecked=True)),
        ({"framing": "beast"}, api.beast()),
        ({"framing": "mpegts"}, api.mpegts()),
    ],
)
def test_the_framing_that_the_options_describe(options: dict[str, Any], framing: Framing) -> None:
    assert OptionalFramingOptions(**options).message_framing == framing


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"framing": "delimiter"}, 'delimiter: is missing: framing = "delimiter" needs it'),
        ({"framing": "length-prefix"}, 'width: is missing: framing = "length-prefix" needs it'),
        ({"framing": "fixed"}, 'size: is missing: framing = "fixed" needs it'),
        ({"framing": "between", "start": []}, "start: is missing.*; end: is missing"),
        (
            {"framing": "lines", "width": 2},
            'width: is for framing = "length-prefix" or "length-at", not "lines"',
        ),
        ({"framing": "mllp", "check": "xor"}, 'check: is for framing = "lines" or "delimiter"'),
        ({"framing": "lines", "check": "crc"}, 'check: there is no check "crc": use one of'),
        ({"framing": "lines", "check_at": 0}, "check_at: has no effect without check"),
        ({"framing": "mbap", "limit": 100}, 'limit: has no effect with framing = "mbap"'),
        ({"framing": "length-prefix", "width": 3}, "framing: a length prefix of 3 bytes"),
        ({"framing": "header-fields", "length_field": "a b"}, "cannot be the name of a field"),
    ],
)
def test_options_that_do_not_fit_the_framing_are_refused(
    options: dict[str, Any], error: str
) -> None:
    with pytest.raises(ValueError, match=error):
        OptionalFramingOptions(**options)


def test_every_framing_can_be_configured() -> None:
    """One table for all plugins: it has each name, and each function that makes a framing."""
    assert set(get_args(FramingName)) == set(KINDS)
    made = {kind.function for kind in KINDS.values()} | {"checked"}
    modules = {name for name in api.__all__ if name in made}
    assert modules == made


def test_a_protocol_may_frame_replies_in_another_way() -> None:
    options = OptionalFramingOptions(framing="postgresql")
    assert options.reply_framing == api.postgresql("server")
    options = OptionalFramingOptions(framing="mllp")
    assert options.reply_framing is options.message_framing


@pytest.mark.parametrize("plugin", ["validate", "split", "relay", "mirror"])
@pytest.mark.parametrize("framing", KINDS)
def test_each_plugin_has_each_framing(plugin: str, framing: str) -> None:
    keys: dict[str, object] = {"offset": 0, "width": 2, "start": "<", "end": [62], "size": "8B"}
    keys["delimiter"] = "|"
    own: dict[str, object] = {}
    if plugin == "relay":
        own["subscribers"] = "tcp://127.0.0.1:1"
    elif plugin == "mirror":
        own["mirrors"] = ["tcp://127.0.0.1:1"]
    table = {key: keys[key] for key in KINDS[framing].required} | own | {"framing": framing}
    found = PluginLoader().find(plugin)
    options: Any = read_options(found, table, Path())[0]
    assert options.message_framing is not framings.UNFRAMED


def test_the_answer_must_be_one_message() -> None:
    assert RefusingOptions(answer="no").refusal == b"no\n"
    assert RefusingOptions().refusal == b""
    with pytest.raises(ValueError, match="may not contain the delimiter"):
        RefusingOptions(answer="two\nlines")


@pytest.mark.parametrize(
    "text", [b"", b"{", b"1 2", b"NaN", b"[1]x", b"\xff", b"[" * 100_000 + b"]" * 100_000]
)
def test_only_json_is_parsed(text: bytes) -> None:
    assert parse_json(b' {"a": [1, null]}\r\n') == {"a": [1, None]}
    with pytest.raises(ValueError, match=r"."):
        parse_json(text)
