"""Retransmission: when each pending message is sent again, and when it is given up.

All messages of a mailbox have the same profile, so those that were due equally often are due again
in the order of acceptance: a queue for each number of times replaces a heap, and a message that is
acknowledged leaves at once. So no more is stored than what is pending.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vcproxy.bus.mailbox.correspondent import Pending
    from vcproxy.bus.mailbox.profile import Profile


class Retransmission:
    """The pending messages of one mailbox, to all peers."""

    __slots__ = ("_due_s", "_queues")

    def __init__(self, profile: Profile) -> None:
        self._due_s = (*profile.times_s[1:], profile.gives_up_s)
        """When the messages of each queue are due, in seconds after acceptance."""
        self._queues: tuple[dict[int, Pending], ...] = tuple({} for _ in self._due_s)
        """By token: `_queues[n]` has what was due n times, in the order of acceptance."""

    def __len__(self) -> int:
        return sum(map(len, self._queues))

    def __bool__(self) -> bool:
        return any(self._queues)

    def add(self, pending: Pending) -> float:
        """Add a message that was accepted just now; return when it is due."""
        pending.queue = queue = self._queues[0]
        queue[pending.token] = pending
        return pending.accepted + self._due_s[0]

    def take_due(self, now: float) -> tuple[list[Pending], list[Pending]]:
        """Return the messages to be sent again, and those to be given up, which are removed. Both
        in the order of acceptance."""
        again: dict[int, Pending] = {}
        given_up: list[Pending] = []
        for due_s, queue, later in zip(
            self._due_s, self._queues, (*self._queues[1:], None), strict=True
        ):
            due = []
            for pending in queue.values():
                if pending.accepted + due_s > now:
                    break
                due.append(pending)
            for pending in due:
                del queue[pending.token]
                if later is None:
                    again.pop(pending.token, None)
                    given_up.append(pending)
                else:
                    pending.queue = later
                    later[pending.token] = again[pending.token] = pending
        return [pending for _, pending in sorted(again.items())], given_up

    def next_due(self) -> float | None:
        """Return when the first message is due; None: nothing is pending."""
        times = [
            next(iter(queue.values())).accepted + due_s
            for due_s, queue in zip(self._due_s, self._queues, strict=True)
            if queue
        ]
        return min(times, default=None)

    def postpone(self, seconds: float, now: float) -> None:
        """Shift the times of all messages, as if they were accepted later, but not after `now`."""
        for queue in self._queues:
            for pending in queue.values():
                pending.accepted = min(pending.accepted + seconds, now)
