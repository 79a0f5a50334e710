"""SplitRules: what a shared connection needs to split its server's replies into parts.

A value, made once for each shared connection from the plugin's class and options. It refers to no
client's session. Tested in tests/messages/test_splitter.py.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple, TypeAlias

from vcproxy.framing.framing import Framing

Orphans: TypeAlias = Literal["drop", "reconnect", "broadcast", "subscribers"]
"""What happens to a part that no request waits for. "drop": the part is counted and dropped.
"reconnect": the server connection is closed, because its replies may no longer match the requests.
See ExclusiveUse for what "reconnect" means without keys. "broadcast": if it has no key, all clients
get it; "subscribers": those whose session has set `subscribed`. One with a key answers a request of
one client, perhaps for the second time, so it is dropped."""


class Part(NamedTuple):
    """The part of a reply that one request gets."""

    key: Hashable
    """The key of the request. None: the oldest request whose key is None."""
    data: bytes
    """A message without its framing; it is framed when it is sent to the client."""
    last: bool = True
    """Whether this is the last part of the answer to the request."""


DAMAGED: Final = object()
"""The key of the part that stands for a damaged reply, in its place among the others. Its `data` is
the reason, as text."""


@dataclass(frozen=True, slots=True)
class SplitRules:
    """How the replies on one shared connection are framed and split."""

    framing: Framing
    """The framing of the server's replies."""
    split: Callable[[bytes], Iterable[Part]]
    """Splits one reply, without its framing, into parts."""
    orphans: Orphans = "drop"
    """What happens to a part that no request waits for."""
    forwarding: Framing | None = None
    """The framing of requests to the server; None: that of the client."""
    in_flight: int = 0
    """The most requests at the server, 0: no limit. See Splitter.in_flight."""
    silences: int = 1
    """How many requests in a row the server may leave unanswered. See Splitter.silences."""
    shares_s: float = 0.0
    """Seconds for which an answer is shared. See Splitter.shares_s."""

    @property
    def noisy(self) -> bool:
        """Whether the server is at the end of a serial line: see Framing."""
        return getattr(self.framing, "noisy", False)
