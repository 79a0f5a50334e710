"""A tree of machines that restart their children and send each other numbered notes.

Each note is in a Ledger: accepted by the sender's mailbox, received, given up. After a run, the
ledger is compared with the rules of delivery.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import ClassVar

from vcproxy.api import Child, GivenUp, Letter, Peer, Process, State

NOTE_S = 2.0
"""Each machine sends notes at this interval."""

LOOK_S = 5.0
"""A parent looks for missing children at this interval."""

PATIENCE_S = 30.0
"""How long a parent waits for a child that it has asked for: `started` takes at most 10 s, and the
first pulse, if that was lost, 20 s."""


@dataclass
class Ledger:
    """What has happened to the notes of one run."""

    accepted: dict[str, tuple[Peer, float]] = field(default_factory=dict)
    """Notes, where they were sent to, and when."""
    alive: dict[Peer, float] = field(default_factory=dict)
    """When a machine has last done something."""
    received: dict[int, list[str]] = field(default_factory=dict)
    """Notes by the pid of the process that has received them, in order."""
    given_up: set[str] = field(default_factory=set)
    """Notes of whose failure the sender was informed."""

    def faults(self, lost: set[int], lost_at: set[Peer]) -> Iterator[str]:
        """Yield what breaks a rule.

        `lost`: the pids of processes that were killed; `lost_at`: their addresses. What a process
        has acknowledged and not received yet, as it waits for an earlier message, is lost with it.
        """
        for pid, notes in self.received.items():
            latest: dict[str, int] = {}
            for note in notes:
                sender, number = note.split(" ")[1:]
                if int(number) <= latest.get(sender, -1):
                    yield f"{pid} has received {note!r} twice or out of order"
                latest[sender] = int(number)
        all_received = {note for notes in self.received.values() for note in notes}
        for note, (to, time) in self.accepted.items():
            if int(note.split(" ")[1]) in lost or note in all_received or note in self.given_up:
                continue
            if to in lost_at and time <= self.alive[to] + NOTE_S:
                continue
            yield f"{note!r} to {to} was neither received nor given up"


class Node(Process):
    """A machine of the tree. Its children are NAME.0, NAME.1 ...; their number is its first
    argument, and the following arguments are for the children."""

    ledger: ClassVar[Ledger]
    awaited: dict[str, float]
    """The missing children that it has asked for, and until when it waits for them."""
    notes = 0

    MAIN = State(initial=True)

    @MAIN.enter
    def entered(self) -> None:
        path, _, tag = self.invocation.name.partition("#")
        count = int(self.arguments[0]) if self.arguments else 0
        self.wanted = [f"{path}#{tag}.{number}" for number in range(count)]
        self.awaited = {}
        self.look(None)
        self.write(None)

    @MAIN.on("look")
    def look(self, _: object) -> None:
        """Ask for the children that are missing, and stop those that are one too many."""
        present: dict[str, Child] = {}
        for child in self.children:
            if present.setdefault(child.name, child) is not child:
                self.stop(child.peer)
        for name in self.wanted:
            if name in present:
                self.awaited.pop(name, None)
            elif self.awaited.get(name, 0.0) <= self.engine.now:
                self.awaited[name] = self.engine.now + PATIENCE_S
                self.spawn(name, *self.arguments[1:])
        self.engine.schedule_in(LOOK_S, self, "look", None)

    @MAIN.on("exited")
    def missed(self, letter: Letter) -> None:
        """A child has ended."""
        self.awaited.pop(letter.words[0], None)

    @MAIN.on("errored")
    def failed(self, letter: Letter) -> None:
        """A child has failed, or could not be started."""
        self.awaited.pop(letter.words[0], None)

    @MAIN.on("write")
    def write(self, _: object) -> None:
        """Send a note to the parent and to each child."""
        family = [child.peer for child in self.children]
        for peer in (self.parent, *family):
            note = f"note {self.pid} {self.notes}"
            self.notes += 1
            self.send(peer, note)
            self.ledger.accepted[note] = peer, self.engine.now
        self.ledger.alive[self.address] = self.engine.now
        self.engine.schedule_in(NOTE_S, self, "write", None)

    @MAIN.on("note")
    def read(self, letter: Letter) -> None:
        """Receive a note."""
        self.ledger.received.setdefault(self.pid, []).append(letter.text)

    @MAIN.on(GivenUp)
    def informed(self, given_up: GivenUp) -> None:
        """A note was not acknowledged, or the server has not got a request."""
        if given_up.text.startswith("note "):
            self.ledger.given_up.add(given_up.text)
        elif given_up.text.startswith("start "):
            self.awaited.pop(given_up.text.split(" ")[1], None)


class Parent(Process):
    """Has as many children as its first argument says; the others are for them."""

    MAIN = State(initial=True)

    @MAIN.enter
    def entered(self) -> None:
        path, _, tag = self.invocation.name.partition("#")
        for number in range(int(self.arguments[0]) if self.arguments else 0):
            self.spawn(f"{path}#{tag}.{number}", *self.arguments[1:])


def names(root: str, *counts: int) -> list[str]:
    """Return the names of a whole tree: `counts` are how many children each has, by level."""
    below = [f"{root}.{number}" for number in range(counts[0])] if counts else []
    return [root, *(name for each in below for name in names(each, *counts[1:]))]
