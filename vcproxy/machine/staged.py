"""Staged machines: flat machines in the style of a reactor, which talk to each other in tags.

A tag is a kind and a number, 0 to 15. M: a message from a machine. D: i/o, where D0 is
"came" (READ_READY, READ_COMPLETE, ACCEPT), D1 is "went" (WRITE_READY, WRITE_COMPLETE, CONNECTED)
and D2 is "broke or ended" (EOS, ERROR; after the data). S: a signal. T: a timer. F: the file
system. Stages are states, a reflex is what a stage declares for a tag, and a reflex that wants to
move sends a message to its own machine. A stop is a final stage.

All machines of one MessageQueue form one conversation. Whatever the operating system brings is one
message, and all that it leads to is delivered before the next: so a trace reads as a story.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Final, Literal, TypeAlias

from vcproxy.engine.continuation import Continuation
from vcproxy.engine.event import Event
from vcproxy.machine.machine import Machine
from vcproxy.machine.state import ANY, ENTER, LEAVE, State, label
from vcproxy.machine.table import Unhandled

if TYPE_CHECKING:
    from vcproxy.engine.engine import Engine
    from vcproxy.engine.mutex import Mutex
    from vcproxy.engine.scheduler import Action

Stage = State
"""What a staged machine calls its states. They have no parents, and T tags for their clocks."""

Overflow: TypeAlias = Literal["fail", "drop_newest", "drop_oldest"]

CAPACITY: Final = 32
"""Messages that wait at most: the original's. A few machines that answer each other need far less,
so a longer queue only hides a machine that talks without end."""

STRETCH: Final = 1024
"""Messages delivered before other conversations have their turn."""

_TAG = re.compile(r"[MDSTF](\d|1[0-5])")
_TAGS: Final[dict[Hashable, str]] = {
    Event.READ_READY: "D0",
    Event.READ_COMPLETE: "D0",
    Event.ACCEPT: "D0",
    Event.WRITE_READY: "D1",
    Event.WRITE_COMPLETE: "D1",
    Event.CONNECTED: "D1",
    Event.EOS: "D2",
    Event.ERROR: "D2",
}


class MessageQueueFull(RuntimeError):
    """A message found no room, and the queue's policy is to fail."""


@dataclass(frozen=True, slots=True, eq=False)
class Handle:
    """The address of a machine: valid until the machine is put back into its pool.

    A machine gets a new handle each time, so no message of an earlier use reaches it.
    """

    machine: StageMachine
    generation: int

    @property
    def stale(self) -> bool:
        """Whether the machine has a newer handle: messages to this one are dropped."""
        return self.machine.handle is not self


@dataclass(frozen=True, slots=True)
class StagedMessage:
    """What a reflex is given. `source` is None for the operating system."""

    source: Handle | None
    data: Any = None

    @property
    def name(self) -> str:
        """The sender, as histories and traces name it."""
        return "OS" if self.source is None else self.source.machine.name


class MessageQueue(Continuation):
    """The queue of one conversation of staged machines, and their common mutex.

    `overflow` says what happens to a message that finds `capacity` of them waiting: "fail" raises
    QueueFull in its sender, which ends the conversation; the others drop one, and count it in
    `dropped`. `stale` counts messages to lives that were over. `write`, where given, gets a line
    for each message before it is received, and what machines `trace`.
    """

    def __init__(
        self,
        engine: Engine,
        mutex: Mutex,
        *,
        capacity: int = CAPACITY,
        overflow: Overflow = "fail",
        write: Callable[[str], None] | None = None,
    ) -> None:
        super().__init__(engine, mutex)
        self.capacity = capacity
        self.overflow = overflow
        self.write = write
        self.dropped = 0
        self.stale = 0
        self.receiver: StageMachine | None = None
        """Who was given a message last."""
        self._waiting: deque[tuple[Handle, str, StagedMessage]] = deque()
        self._kinds: dict[str, int] = {}

    def __len__(self) -> int:
        return len(self._waiting)

    def put(self, to: Handle, tag: str, message: StagedMessage) -> None:
        """Queue a message behind the others. Raises QueueFull."""
        waiting = self._waiting
        if len(waiting) >= self.capacity:
            if self.overflow == "fail":
                raise MessageQueueFull(
                    f"{message.name} sends {tag} to {to.machine.name}, and {len(waiting)} messages "
                    "wait already: send less at once, or make the queue longer"
                )
            self.dropped += 1
            if self.overflow == "drop_newest":
                return
            waiting.popleft()
        waiting.append((to, tag, message))

    def drain(self) -> None:
        """Deliver what waits, and what that leads to; the rest, if any, in the engine's next pass.

        Nothing more is delivered once the conversation has ended.
        """
        waiting = self._waiting
        for _ in range(STRETCH):
            if not waiting or self.mutex.ended:
                return
            to, tag, message = waiting.popleft()
            if to.stale:
                self.stale += 1
            else:
                self.receiver = to.machine
                to.machine.receive(tag, message)
        self.engine.schedule(self, Event.TIMEOUT, None)

    def handle_event(self, key: Hashable, data: object) -> None:
        """Go on with what was too much for one step."""
        self.drain()

    def crashed(self, error: Exception) -> str:
        """Return the history of the machine that was receiving."""
        return "" if self.receiver is None else Machine.crashed(self.receiver, error)

    def name(self, kind: str) -> str:
        """Name one more machine of a kind: RX-1, RX-2."""
        self._kinds[kind] = self._kinds.get(kind, 0) + 1
        return f"{kind}-{self._kinds[kind]}"


class StageMachine(Machine):
    """A machine of stages, named by its kind and number. A subclass declares the stages.

    Keys are tags; a reflex is called as reflex(self, message). A tag that a stage has no reflex for
    raises Unhandled, a tag declared twice is a TypeError when the class is made, and start() may be
    called once.
    """

    __slots__ = ("_clocks", "handle", "queue")

    kind: ClassVar[str] = ""
    """The class's name in capitals."""

    def __init_subclass__(cls, **keywords: Any) -> None:
        super().__init_subclass__(**keywords)
        cls.kind = cls.__name__.upper()
        for stage in cls.states:
            if stage.parent is not None:
                raise TypeError(f"{stage.place}: {stage!r} has a parent, and stages are flat")
            for reflex in stage.receivers:
                key = reflex.key
                if key not in (ENTER, LEAVE, ANY) and not _TAG.fullmatch(label(key)):
                    raise TypeError(
                        f"{reflex.place}: {stage!r} on {label(key)}: not a tag: "
                        "write one of M D S T F and a number from 0 to 15"
                    )

    def __init__(self, queue: MessageQueue) -> None:
        super().__init__(queue.engine, queue.mutex, name=queue.name(self.kind))
        self.queue = queue
        self.handle = Handle(self, 0)
        self._clocks: dict[str, Action] = {}

    def handle_event(self, key: Hashable, data: object) -> None:
        """Take what the operating system brings, and see to all that follows from it."""
        tag = _TAGS.get(key) or label(key)
        self.queue.put(self.handle, tag, StagedMessage(None, data))
        self.queue.drain()

    def receive(self, tag: str, message: StagedMessage) -> None:
        """Have the reflex of the current stage take a message. Raises Unhandled."""
        if self.queue.write is not None:
            self.queue.write(str(self.receiving(tag, message)))
        try:
            super().handle_event(tag, message)
        except Unhandled as error:
            where = f"{self.name} @ {self.state.name}"
            raise Unhandled(f"{where} : no reflex for '{tag}'") from error

    def crashed(self, error: Exception) -> str:
        """Return the history of the machine that failed: what began here may have ended there."""
        return self.queue.crashed(error)

    # -- for reflexes ------------------------------------------------------------------------

    def send(self, to: StageMachine | Handle, tag: str, data: object = None) -> None:
        """Send a message, also to this machine itself; it is dropped if the handle is stale."""
        handle = to if isinstance(to, Handle) else to.handle
        self.queue.put(handle, tag, StagedMessage(self.handle, data))

    def arm(self, tag: str, seconds: float) -> None:
        """Receive a T tag once, after that time; anew if its clock runs already."""
        self.disarm(tag)
        self._clocks[tag] = self.engine.schedule_in(seconds, self, tag, None)

    def disarm(self, tag: str) -> None:
        """Stop the clock of a T tag, if it runs."""
        clock = self._clocks.pop(tag, None)
        if clock is not None:
            clock.cancel()

    def trace(self, text: str) -> None:
        """Put a line of one's own into the trace."""
        if self.queue.write is not None:
            self.queue.write(text)

    def renew_handle(self) -> None:
        """Begin another handle: no clock and no message of this one reaches it. Pools call this."""
        for tag in tuple(self._clocks):
            self.disarm(tag)
        self.handle = Handle(self, self.handle.generation + 1)
