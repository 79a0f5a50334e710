"""Entries of the log as messages of syslog."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vcproxy.app.logs.syslog_message import LARGEST, SyslogFormat, frame

AT = 1796024096.25  # 2026-11-30 07:34:56.25 UTC

FORM = SyslogFormat("daemon", "proxy.example", 4711)


@pytest.mark.parametrize(
    ("level", "priority"), [("error", 27), ("warning", 28), ("info", 30), ("debug", 31)]
)
def test_an_entry_of_each_level(level: str, priority: int) -> None:
    assert FORM.message(level, "reloaded a.toml", None, AT) == (  # type: ignore[arg-type]
        f"<{priority}>1 2026-11-30T07:34:56.250000Z proxy.example vcproxy 4711 - - reloaded a.toml"
    )


def test_a_record_of_an_access_log() -> None:
    head = b"<30>1 2026-11-30T07:34:56.250000Z proxy.example vcproxy 4711 access - "
    assert FORM.record(b'{"end":"--"}\n', AT) == head + b'{"end":"--"}'
    assert FORM.record("ü\n".encode(), AT) == head + b"\xef\xbb\xbf\xc3\xbc"
    long = FORM.record(b"x" * 10_000 + b"\n", AT)
    assert len(long) == LARGEST
    assert long.endswith(b"x ...")


def test_a_facility_and_a_host_without_a_name() -> None:
    form = SyslogFormat("local7", "", 1)
    assert form.message("info", "a", None, AT).startswith("<190>1 2026-11-30T07:34:56.250000Z - v")


def test_a_text_with_other_letters_begins_with_a_bom() -> None:
    text = FORM.message("info", "Grüße", None, AT)
    assert text.encode().endswith(b" 4711 - - \xef\xbb\xbfGr\xc3\xbc\xc3\x9fe")


def test_a_traceback_is_part_of_the_message() -> None:
    text = FORM.message("error", "a failed", ValueError("no"), AT)
    assert text.endswith("- - a failed\n    ValueError: no")


def test_a_long_text_is_cut_between_letters() -> None:
    for fill in range(4):
        octets = FORM.message("info", "x" * fill + "ß" * LARGEST, None, AT).encode()
        assert LARGEST - 2 < len(octets) <= LARGEST
        assert octets.decode().endswith("ß ...")


@given(st.text(), st.text(max_size=300))
def test_no_text_forges_a_message(text: str, host: str) -> None:
    octets = (
        SyslogFormat("user", host, 7)
        .message("info", text, None, AT)
        .encode(errors="backslashreplace")
    )
    assert len(octets) <= LARGEST
    assert re.match(rb"<14>1 \S+ [!-~]{1,255} vcproxy 7 - - ", octets)
    assert not re.search(rb"[\x00-\x09\x0b-\x1f\x7f]", octets)
    assert all(line.startswith(b"    ") for line in octets.split(b"\n")[1:])


def test_a_stream_has_the_length_before_each_message() -> None:
    assert frame(b"<30>1 a") == b"7 <30>1 a"
