"""Messages of syslog: which are ones, and what a relay changes in them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vcproxy.protocols.syslog import SyslogFault, SyslogMessage

WALL = 1796024096
"""2026-11-30T07:34:56Z."""

MODERN = b"<34>1 2003-10-11T22:14:15.003Z host su 77 ID47 "


def parsed(data: bytes) -> SyslogMessage:
    message = SyslogMessage.parse(data)
    assert isinstance(message, SyslogMessage), message
    return message


@pytest.mark.parametrize(
    ("data", "host"),
    [
        # RFC 5424, 6.5
        (b"<34>1 2003-10-11T22:14:15.003Z mymachine.example.com su - ID47 - \xef\xbb\xbf'su root'",
         b"mymachine.example.com"),
        (b"<165>1 2003-08-24T05:14:15.000003-07:00 192.0.2.1 myproc 8710 - - %% It's time",
         b"192.0.2.1"),
        (b'<165>1 2003-10-11T22:14:15.003Z mymachine.example.com evntslog - ID47 '
         b'[exampleSDID@32473 iut="3" eventSource="Application" eventID="1011"] \xef\xbb\xbfAn',
         b"mymachine.example.com"),
        (b'<165>1 2003-10-11T22:14:15.003Z mymachine.example.com evntslog - ID47 '
         b'[exampleSDID@32473 iut="3"][examplePriority@32473 class="high"]',
         b"mymachine.example.com"),
        (b"<0>1 - - - - - -", b""),
        (MODERN + b'[a b="\\"\\]\\\\" c="\\x\xc3\xa4"] text', b"host"),
        (MODERN + b"- line\nline", b"host"),
        # RFC 3164, 5.4
        (b"<34>Oct 11 22:14:15 mymachine su: 'su root' failed", b"mymachine"),
        (b"<13>Feb  5 17:32:18 10.0.0.99 Use the BFG!", b"10.0.0.99"),
        (b"<165>Aug 24 05:34:00 CST 1987 mymachine myproc[10]: %% It's time", b"CST"),
        (b"<13>Feb  5 17:32:18 2001:db8::7 tag: text", b"2001:db8::7"),
        (b"<13>2026-11-30T07:34:56.1+01:00 host tag: text", b"host"),
        (b"<13>Feb  5 17:32:18 su[4711]: text", b""),
        (b"<13>Feb  5 17:32:18 su: text", b""),
        (b"<13>Feb  5 17:32:18 host", b""),
        (b"<191>Use the BFG!", b""),
        (b"<189>123: *Mar  1 00:00:07.051: %SYS-5-CONFIG_I: Configured", b""),
        (b"<13>", b""),
        (b"<13>1", b""),
        (b"<13>\0\xff", b""),
    ],
)  # fmt: skip
def test_a_message_is_taken_apart_and_put_together_again(data: bytes, host: bytes) -> None:
    message = parsed(data)
    assert message.host == host
    assert message.data == data


@pytest.mark.parametrize(
    ("data", "fault"),
    [
        (b"", SyslogFault.PRIORITY),
        (b"text", SyslogFault.PRIORITY),
        (b"<>text", SyslogFault.PRIORITY),
        (b"<192>text", SyslogFault.PRIORITY),
        (b"<999>text", SyslogFault.PRIORITY),
        (b"<013>text", SyslogFault.PRIORITY),
        (b"<00>text", SyslogFault.PRIORITY),
        (b"<-1>text", SyslogFault.PRIORITY),
        (b"<1", SyslogFault.PRIORITY),
        (b" <13>text", SyslogFault.PRIORITY),
        (b"<13>2 - - - - - -", SyslogFault.VERSION),
        (b"<13>100 - - - - - -", SyslogFault.VERSION),
        (b"<13>1 ", SyslogFault.HEADER),
        (b"<13>1 - - - - -", SyslogFault.HEADER),
        (b"<13>1  - - - - - -", SyslogFault.HEADER),
        (b"<13>1 - - - - - text", SyslogFault.HEADER),
        (b"<13>1 - - - - - -text", SyslogFault.HEADER),
        (b"<13>1 Oct 11 22:14:15 - - - - -", SyslogFault.HEADER),
        (b"<13>1 - h\xc3\xb6st - - - -", SyslogFault.HEADER),
        (b"<13>1 - " + b"h" * 256 + b" - - - -", SyslogFault.HEADER),
        (MODERN + b'[a b="1"', SyslogFault.HEADER),
        (MODERN + b'[a b="]"]', SyslogFault.HEADER),
        (MODERN + b"[a b=1]", SyslogFault.HEADER),
        (MODERN + b"[]", SyslogFault.HEADER),
        (MODERN + b'[a b="1"] [c]x'.replace(b"] [", b"]["), SyslogFault.HEADER),
    ],
)
def test_a_message_without_a_sound_head_is_none(data: bytes, fault: SyslogFault) -> None:
    assert SyslogMessage.parse(data) is fault


def test_facility_and_severity() -> None:
    message = parsed(b"<165>text")
    assert (message.facility, message.severity) == (20, 5)  # local4, notice


@pytest.mark.parametrize(
    ("data", "changed"),
    [
        (b"<13>1 - - app - - - text", b"<13>1 - 192.0.2.7 app - - - text"),
        (MODERN + b"- text", MODERN.replace(b"host", b"192.0.2.7") + b"- text"),
        (b"<34>Oct 11 22:14:15 mymachine su: no", b"<34>Oct 11 22:14:15 192.0.2.7 su: no"),
        (b"<34>Oct 11 22:14:15 su: no", b"<34>Oct 11 22:14:15 192.0.2.7 su: no"),
        (b"<34>su: no", b"<34>2026-11-30T07:34:56Z 192.0.2.7 su: no"),
        (b"<34>", b"<34>2026-11-30T07:34:56Z 192.0.2.7 "),
    ],
)
def test_the_host_is_replaced_or_added(data: bytes, changed: bytes) -> None:
    message = parsed(data).with_host("192.0.2.7", WALL)
    assert message.data == changed
    assert parsed(changed).host == b"192.0.2.7"
    assert parsed(changed) == message


@pytest.mark.parametrize(
    ("structured", "changed"),
    [
        (b"-", b'[origin ip="::1"]'),
        (b'[a b="1"]', b'[origin ip="::1"][a b="1"]'),
        (b"[origin]", b'[origin ip="::1"]'),
        (b'[a][origin ip="9"][b]', b'[a][origin ip="9" ip="::1"][b]'),
        (b'[a b="[origin \\]"]', b'[origin ip="::1"][a b="[origin \\]"]'),
        (b"[originals]", b'[origin ip="::1"][originals]'),
    ],
)
def test_the_origin_is_added_to_the_structured_data(structured: bytes, changed: bytes) -> None:
    message = parsed(MODERN + structured + b" text").with_origin("::1")
    assert message.data == MODERN + changed + b" text"
    assert parsed(message.data) == message


@pytest.mark.parametrize(
    ("text", "room", "left"),
    [
        (b"12345", 5, b"12345"),
        (b"12345", 4, b"1234"),
        (b"12345", 0, b""),
        ("12ä".encode(), 3, b"12"),
        ("1𝄞".encode(), 4, b"1"),
        ("1𝄞".encode(), 5, "1𝄞".encode()),
        (b"\x80" * 9, 8, b"\x80" * 5),  # no UTF-8
    ],
)
def test_a_long_text_is_cut_between_two_characters(text: bytes, room: int, left: bytes) -> None:
    head = MODERN + b"- "
    message = parsed(head + text).cut(len(head) + room)
    assert message is not None
    assert message.data == head + left


def test_a_head_is_never_cut() -> None:
    message = parsed(MODERN + b"- text")
    assert message.cut(len(MODERN) + 1) is not None
    assert message.cut(len(MODERN)) is None


@given(st.binary(max_size=60), st.integers(0, 200))
def test_what_is_sent_on_has_the_head_that_was_checked(text: bytes, largest: int) -> None:
    for data in (b"<13>" + text, b"<13>1 - - - - - - " + text, text):
        message = SyslogMessage.parse(data)
        if isinstance(message, SyslogFault):
            continue
        assert message.data == data
        changed = message.with_host("10.0.0.1", WALL)
        again = SyslogMessage.parse(changed.data)
        assert isinstance(again, SyslogMessage)
        assert (again.host, again.version) == (b"10.0.0.1", message.version)
        cut = changed.cut(largest)
        if cut is not None:
            assert len(cut.data) <= largest
            assert cut.head == changed.head


def test_a_hostile_head_takes_no_longer_than_a_sound_one() -> None:
    long = b'[a b="' + b"\\]" * 30_000
    assert SyslogMessage.parse(MODERN + long) is SyslogFault.HEADER
    many = b'[a b="1"]' * 7_000
    assert SyslogMessage.parse(MODERN + many + b"x") is SyslogFault.HEADER
    assert parsed(MODERN + many).structured == many
