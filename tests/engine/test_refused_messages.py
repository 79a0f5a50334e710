"""The last refused messages of an engine: what is kept, how much, and how it is shown."""

from __future__ import annotations

from ast import literal_eval

from tests.engine.world import engine
from vcproxy.engine.refused_messages import KEPT, PIECE, TEXT, escaped


def test_a_refused_message_has_its_place_and_its_reason() -> None:
    net = engine()
    net.clock(7.5)
    net.time_of_day(1_000_000_000)
    net.refused.add(
        "http request", "a NUL", b"GET /\0 HTTP/1.1", 5, listener="web", client="CLIENT-1"
    )
    (kept,) = net.refused
    assert (kept.number, kept.wall, kept.now) == (1, 1_000_000_000, 7.5)
    assert (kept.kind, kept.listener, kept.client, kept.server) == (
        "http request", "web", "CLIENT-1", "",
    )  # fmt: skip
    assert kept.reason == "a NUL"
    assert (kept.text, kept.mark) == (r"GET /\x00 HTTP/1.1", 5)
    assert (kept.size, kept.begin, kept.position) == (15, 0, 5)


def test_the_mark_is_at_the_bad_byte_of_the_escaped_text() -> None:
    net = engine()
    net.refused.add("message", "bad", b"\0\r\nx!", 4)
    (kept,) = net.refused
    assert kept.text == r"\x00\r\nx!"
    assert kept.mark == len(r"\x00\r\nx")


def test_a_message_without_a_bad_byte_has_no_mark() -> None:
    net = engine()
    net.refused.add("message", "too long", b"abc")
    (kept,) = net.refused
    assert kept.mark is None


def test_the_end_of_a_message_may_be_what_is_bad() -> None:
    net = engine()
    net.refused.add("proxy header", "cut", b"PROXY", 5)
    (kept,) = net.refused
    assert kept.mark == 5


def test_of_a_long_message_the_part_around_the_bad_byte_is_kept() -> None:
    net = engine()
    long = bytes(range(65, 91)) * 100
    for position in (0, 100, 1000, len(long) - 1):
        net.refused.add("message", "bad", long[:position] + b"#" + long[position + 1 :], position)
    for kept in net.refused:
        assert len(kept.piece) == PIECE
        assert kept.mark is not None
        assert kept.text[kept.mark] == "#"
        assert kept.size == len(long)
    assert [kept.begin for kept in net.refused] == [0, 0, 872, len(long) - PIECE]


def test_all_is_bounded() -> None:
    net = engine()
    for number in range(3 * KEPT):
        net.refused.add(
            "message", "r" * 10_000, bytes(100_000), number,
            listener="l" * 10_000, client="c" * 10_000, server="s" * 10_000,
        )  # fmt: skip
    kept = list(net.refused)
    assert [each.number for each in kept] == list(range(2 * KEPT + 1, 3 * KEPT + 1))
    assert net.refused.count == 3 * KEPT
    for each in kept:
        texts = each.reason, each.listener, each.client, each.server
        assert [len(text) for text in texts] == [TEXT] * 4
        assert len(each.piece) == PIECE


def test_nothing_is_kept_where_it_is_switched_off() -> None:
    net = engine()
    net.refused.add("message", "bad", b"secret")
    net.refused.keep(0)
    net.refused.add("message", "bad", b"secret")
    assert list(net.refused) == []
    assert net.refused.count == 2


def test_no_byte_can_change_a_terminal() -> None:
    text = escaped(bytes(range(256)))
    assert text.isascii()
    assert text.isprintable()
    assert literal_eval(f"b'''{text}'''") == bytes(range(256))


def test_secrets_are_hidden() -> None:
    net = engine()
    net.refused.hide([b"hunter", b"hunter2"])
    net.refused.hide([b"other"])
    net.refused.add("message", "a NUL in 'hunter2'", b"x" * 300 + b"hunter2 other hunt\0", 318)
    (kept,) = net.refused
    assert kept.piece.endswith(b"xxxxxxx xxxxx hunt\0")
    assert kept.reason == "a NUL in 'xxxxxxx'"
    assert kept.size == 319
