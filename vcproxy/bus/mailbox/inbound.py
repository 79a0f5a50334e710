"""Inbound: the messages from one peer, in the order of their numbers, each once.

A message is delivered when its number is the expected one. Later numbers are held until the gap
before them is filled or closes; lower ones are duplicates. Whatever is acknowledged has been
delivered or will be; whatever can no longer be delivered in order is not acknowledged, so that its
sender gives it up and is informed.

The wire has no number of a process's life, so a new process on an old port is recognised by its
first message: number 0 although higher numbers were received. What cannot be recognised:

* a new process whose first message is that of the old one, if nothing else was received of the
  old one, within the time in which that one would repeat it: `Mailbox.forget` is for those who
  have seen its end;
* datagrams of the old process that the network still holds when the new one speaks;
* a recorded conversation that is sent again a minute later, from number 0 on.

Mended here (known faults of the original, at the end of wink.md): late lower numbers were
acknowledged and lost; a restarted peer was ignored until its numbers exceeded the old ones; numbers
did not wrap.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from zlib import crc32

from vcproxy.bus.mailbox.codec import NUMBERS

if TYPE_CHECKING:
    from vcproxy.bus.mailbox.profile import Profile

NETWORK_S: Final = 1.0
"""How long a network may hold a duplicate of a message that was delivered already. Ten times the
longest detour of a packet that is usual on the Internet, about 100 ms."""

REPEATED_S: Final = 60.0
"""How long number 0 may be repeated after a sequence has begun with it. The profiles give it up
after 10, 40 and 48 s, and NETWORK_S follows. Later it is from a new process: a client that got an
old port, and sends what the client before it had sent."""

HELD_BYTES: Final = 2**24
"""Limit of bytes held for all peers of one mailbox, 16 MiB: 250 of the longest messages, or a
window of 16 KiB messages. Without a limit, spoofed numbers could fill the memory."""

FIRST_VERBS: Final = frozenset((b"started", b"register"))
"""The first messages of a machine, to its parent and to its server (wink.md 4)."""


def is_first(message: bytes) -> bool:
    """Return whether a message is one that a machine sends when it starts."""
    return message[:9].partition(b" ")[0] in FIRST_VERBS


class HeldBytes:
    """How much is held for all peers of one mailbox."""

    __slots__ = ("left",)

    def __init__(self, left: int = HELD_BYTES) -> None:
        self.left = left


class Inbound:
    """The sequence of one peer's messages. It begins with the first message, whatever its number.

    Args:
        profile: when a gap closes, and how far ahead of it messages are held.
        room: what may be held, for all peers.
        number, message: the first message. It counts as delivered.
        now: the time in seconds.
    """

    __slots__ = ("_began", "_crc_0", "_distant", "_held", "_last_new", "_profile", "_rejoins",
                 "_room", "_second", "_seen", "_skipped", "expected", "lives")  # fmt: skip

    def __init__(
        self, profile: Profile, room: HeldBytes, number: int, message: bytes, now: float
    ) -> None:
        self._profile = profile
        self._room = room
        self._held: dict[int, tuple[bytes, float]] = {}
        """Message and time of arrival of later numbers, in the order of arrival."""
        self.lives = 0
        """How often the sequence began: it does with each process on that port."""
        self._begin(number, message, now)

    def _begin(self, number: int, message: bytes, now: float) -> None:
        self.expected = (number + 1) % NUMBERS
        """The number to be delivered next."""
        self._seen = 1
        """How many numbers before the expected one belong to the sequence."""
        self._skipped: set[int] = set()
        """Those of them that were not delivered, one window back: they are not acknowledged."""
        self._began = now
        self._crc_0 = None if number else crc32(message)
        """Identifies message number 0; None: it was not received."""
        self._distant: float | None = None
        """When a number was received that is too far ahead to be held; None: no such number since
        the last delivery."""
        self._rejoins = False
        """Whether the next number is delivered however far ahead it is."""
        self._last_new = now
        """When the last message arrived that was not ignored and no duplicate."""
        self._second: float | None = None
        """When the second message arrived, one that was not ignored; None: not yet."""
        self.lives += 1

    @property
    def held(self) -> int:
        """How many messages are held."""
        return len(self._held)

    @property
    def gap_closes(self) -> float | None:
        """When the gap before the later numbers closes; None: there is no gap.

        The sender of our kind sends numbers in order, so what is missing was sent before the number
        that arrived, and is given up before this time. For a number that is too far ahead it is
        half the time, for the sender must still be repeating it then.
        """
        if self._held:
            return next(iter(self._held.values()))[1] + self._profile.gives_up_s
        if self._distant is not None:
            return self._distant + self._profile.gives_up_s / 2
        return None

    def receive(self, number: int, message: bytes, now: float) -> list[bytes] | None:
        """Return what is delivered now, in order. None: the message must not be acknowledged."""
        if number != self.expected:
            ahead = (number - self.expected) % NUMBERS
            if ahead >= NUMBERS // 2:
                return self._lower(number, NUMBERS - ahead, message, now)
            if not self._rejoins:
                return self._later(number, ahead, message, now)
            self._skip_to(number)
        self._last_new = now
        if self._second is None:
            self._second = now
        self.expected = (number + 1) % NUMBERS
        self._seen += 1
        self._distant = None
        self._rejoins = False
        return [message, *self._unhold()] if self._held else [message]

    def _unhold(self) -> list[bytes]:
        """Deliver held messages up to the next gap."""
        delivered = []
        while self._held and (held := self._held.pop(self.expected, None)) is not None:
            delivered.append(held[0])
            self._room.left += len(held[0])
            self.expected = (self.expected + 1) % NUMBERS
            self._seen += 1
        return delivered

    def _later(self, number: int, ahead: int, message: bytes, now: float) -> list[bytes] | None:
        """Hold a message whose number is not the next one, if there is room."""
        if ahead >= self._profile.window:
            if self._distant is None:
                self._distant = now
            return None
        if number not in self._held:
            if len(message) > self._room.left:
                return None
            self._room.left -= len(message)
            self._held[number] = message, now
            self._last_new = now
            if self._second is None:
                self._second = now
        return []

    def _lower(self, number: int, behind: int, message: bytes, now: float) -> list[bytes] | None:
        """Handle a duplicate, a number that was given up here, or a new process.

        A sender repeats a message at most for the time until it gives up, so after that time a
        lower number is no duplicate: it is from a new process whose number 0 was lost, or replayed.
        """
        wrapped = self._crc_0 is None and behind <= self._seen
        if number == 0 and not wrapped:
            return self._zero_again(message, now)
        repeated = now - self._last_new <= self._profile.gives_up_s
        return [] if repeated and behind <= self._seen and number not in self._skipped else None

    def _zero_again(self, message: bytes, now: float) -> list[bytes] | None:
        """Handle number 0 although it is below the expected one.

        A sender of our kind repeats number 0 until it is acknowledged or given up, and sends no
        higher number before that.
        """
        same = self._crc_0 == crc32(message)
        if same and self._second is None and now - self._began <= self._profile.gives_up_s:
            return []
        age_s = now - (self._began if self._second is None else self._second)
        if age_s < NETWORK_S or (same and not is_first(message) and age_s < REPEATED_S):
            return None  # if it is from a new process, that one sends it again, or gives it up
        held = self.close()
        self._begin(0, message, now)
        return [*held, message]

    def is_repeated(self, number: int, message: bytes, now: float) -> bool:
        """Return whether a message repeats one that was delivered. It changes nothing."""
        behind = (self.expected - number) % NUMBERS
        if not 0 < behind < NUMBERS // 2:
            return False
        if number == 0:
            same = self._crc_0 == crc32(message)
            return same and now - self._last_new <= self._profile.gives_up_s
        return self._lower(number, behind, message, now) is not None

    def close_gap(self) -> list[bytes]:
        """Deliver what is held behind the gap, up to the next gap. Called at `gap_closes`.

        If nothing is held, the next number is delivered however far ahead it is.
        """
        if self._held:
            self._skip_to(min(self._held, key=lambda number: (number - self.expected) % NUMBERS))
            return self._unhold()
        self._distant = None
        self._rejoins = True
        return []

    def close(self) -> list[bytes]:
        """Return all that is held, in order, and hold nothing."""
        delivered = []
        while self._held:
            delivered += self.close_gap()
        return delivered

    def _skip_to(self, number: int) -> None:
        """Expect `number` next. It is ahead, and no number before it is held."""
        distance = (number - self.expected) % NUMBERS
        window = self._profile.window
        self._skipped = {n for n in self._skipped if (number - n) % NUMBERS <= window}
        recent = range(1, min(distance, window) + 1)
        self._skipped.update((number - behind) % NUMBERS for behind in recent)
        self._seen += distance
        self.expected = number
