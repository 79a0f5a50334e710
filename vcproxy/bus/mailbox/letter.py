"""Letter: a message as a machine receives it, split into its words (wink.md 3)."""

from __future__ import annotations

import re
from dataclasses import dataclass

from vcproxy.bus.mailbox.peer import Peer, show_peer

_WORD = re.compile(r"[^ \t\n\v\f\r]+")
"""Only the white space of ASCII separates words, as in the original: not that of Unicode."""


@dataclass(slots=True, init=False)
class Letter:
    """A message that has arrived: "VERB WORD ...". Not frozen: that takes three times as long.

    `to` is the own address, or the multicast group that it was sent to. Bytes that are not UTF-8
    are in the text as surrogate escapes (PEP 383), so that the same bytes can be sent on.
    """

    sender: Peer
    text: str
    to: Peer
    name: str
    """The sender, as the histories of machines show it."""
    verb: str
    """The first word, which is the key of receivers; "" if there is none."""

    def __init__(self, sender: Peer, text: str, to: Peer) -> None:
        self.sender = sender
        self.text = text
        self.to = to
        self.name = show_peer(sender)
        word = text.partition(" ")[0]
        if not word.isalnum():  # then there may be other white space
            found = _WORD.search(text)
            word = "" if found is None else found[0]
        self.verb = word

    @property
    def rest(self) -> str:
        """The text after the verb, unchanged: the white space between them is its beginning."""
        found = _WORD.search(self.text)
        return "" if found is None else self.text[found.end() :]

    @property
    def words(self) -> tuple[str, ...]:
        """The words after the verb."""
        return tuple(_WORD.findall(self.text))[1:]
