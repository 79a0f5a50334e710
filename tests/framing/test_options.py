"""FramingOptions: the framing that a configuration describes; parse_json."""

from __future__ import annotations

from typing import Any

import pytest

from vcproxy.framing import framing as framings
from vcproxy.framing.framing import Framing
from vcproxy.framing.options import (
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
    ],
)
def test_the_framing_that_the_options_describe(options: dict[str, Any], framing: Framing) -> None:
    assert OptionalFramingOptions(**options).message_framing == framing


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"framing": "delimiter"}, 'framing = "delimiter" needs delimiter'),
        ({"framing": "length-prefix"}, 'framing = "length-prefix" needs width'),
        ({"framing": "fixed"}, 'framing = "fixed" needs size'),
        ({"framing": "lines", "width": 2}, 'width is for framing = "length-prefix", not "lines"'),
    ],
)
def test_options_that_do_not_fit_the_framing_are_refused(
    options: dict[str, Any], error: str
) -> None:
    with pytest.raises(ValueError, match=error):
        OptionalFramingOptions(**options)


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
