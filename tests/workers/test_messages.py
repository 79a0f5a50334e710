"""Messages: encoded and decoded."""

from __future__ import annotations

import pytest

from vcproxy.workers.messages import Message, Verb


@pytest.mark.parametrize("verb", Verb)
def test_every_message_is_decoded_as_it_was(verb: Verb) -> None:
    message = Message(verb, 3, "text\n", 15, 42, (("", "unix:a"), ("b", "tcp://c:0")))
    assert Message.decode(message.encode()) == message
