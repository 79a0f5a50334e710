"""Letters: the verb, the words and the rest of a message."""

from __future__ import annotations

import pytest

from vcproxy.bus.mailbox.letter import Letter

ME = ("127.0.0.1", 56950)


def letter(text: str) -> Letter:
    return Letter(("127.0.0.1", 64701), text, ME)


def test_the_first_word_is_the_verb_and_the_others_are_words() -> None:
    errored = letter("errored family/Child#Alice out of memory")
    assert errored.verb == "errored"
    assert errored.words == ("family/Child#Alice", "out", "of", "memory")


def test_the_rest_begins_with_the_space_after_the_verb_as_in_the_original() -> None:
    assert letter("errored family/Child  AHHHHH\n").rest == " family/Child  AHHHHH\n"
    assert letter("on").rest == ""


@pytest.mark.parametrize("text", ["", " ", "\t\n"])
def test_a_message_without_words_has_an_empty_verb(text: str) -> None:
    assert (letter(text).verb, letter(text).words, letter(text).rest) == ("", (), "")


def test_white_space_before_the_verb_is_skipped() -> None:
    assert (letter("\t on now").verb, letter("\t on now").rest) == ("on", " now")


def test_only_the_white_space_of_ascii_separates_words() -> None:
    assert letter("add\xa0one\u2003two three").verb == "add\xa0one\u2003two"
    assert letter("a\x1cb\x85c d").words == ("d",)


def test_histories_show_its_sender() -> None:
    assert letter("on").name == "127.0.0.1:64701"
    assert Letter(("::1", 7), "on", ME).name == "[::1]:7"
