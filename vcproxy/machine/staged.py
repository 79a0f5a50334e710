"""Staged machines: flat machines in the style of a reactor, which send each other tagged messages.

A tag is a kind and a number, 0 to 15. M: a message from a machine. D: i/o, where D0 is
"received" (READ_READY, READ_COMPLETE, ACCEPT), D1 is "sent" (WRITE_READY, WRITE_COMPLETE,
CONNECTED) and D2 is "failed or ended" (EOS, ERROR; after the data). S: a signal. T: a timer.
F: something happened to a file (FileChanged), see `bit_of`. Stages are states, a reflex is what a
stage declares for a tag, and a reflex that needs to move later sends a message to its own machine.
A stop is a final stage.

All machines of one MessageQueue form one conversation. Each event of the operating system is one
message, and all messages that it causes are delivered before the next event, so a trace shows
causes before effects.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Final, Literal, TypeAlias

from vcproxy.engine.continuation import Continuation
from vcproxy.engine.event import Event
from vcproxy.engine.sources.file_changes import FileChanged
from vcproxy.machine.machine import Machine
from vcproxy.machine.state import ANY, ENTER, LEAVE, State, label
from vcproxy.machine.table import Unhandled

if TYPE_CHECKING:
    from vcproxy.engine.engine import Engine
    from vcproxy.engine.mutex import Mutex
    from vcproxy.engine.scheduler import Action

Stage = State
"""The name of states in staged machines. They have no parents, and T tags instead of timeouts."""

Overflow: TypeAlias = Literal["fail", "drop_newest", "drop_oldest"]

CAPACITY: Final = 32
"""The most messages in the queue, as in the original. A few machines that answer each other need
far less, so a longer queue would only hide an endless loop of messages."""

STRETCH: Final = 1024
"""Messages delivered without a pause; then other conversations run."""

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


NO_BIT: Final = 12
"""The number of F for what inotify does not report, that a path cannot be watched: the bit that it
does not use."""


def bit_of(changed: FileChanged) -> int:
    """Return the number of F: that of the lowest bit of inotify, as in the original.

    F0 is read, F1 written, F2 attributes, F3 closed after writing, F4 closed after reading, F5
    opened, F6 moved from here, F7 moved to here, F8 created, F9 deleted, F10 the watched one is
    deleted, F11 moved, F13 unmounted, F14 events are missing, F15 the watched one is gone.
    """
    mask = changed.mask
    return (mask & -mask).bit_length() - 1 if mask else NO_BIT


class MessageQueueFull(RuntimeError):
    """The queue is full, and its policy is to fail."""


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
    """The argument of a reflex. `source` is None for the operating system."""

    source: Handle | None
    data: Any = None

    @property
    def name(self) -> str:
        """The sender's name in histories and traces."""
        return "OS" if self.source is None else self.source.machine.name


class MessageQueue(Continuation):
    """The queue of one conversation of staged machines, and their common mutex.

    `overflow` is the policy when `capacity` messages wait: "fail" raises MessageQueueFull in the
    sender, which closes the conversation; the others drop a message and count it in `dropped`.
    `stale` counts messages to stale handles. `write`, where given, gets a line for each message
    before it is received, and the lines of `trace`. `number_of_f` returns the number of F for what
    happens to a file: another profile than that of the original.
    """

    def __init__(
        self,
        engine: Engine,
        mutex: Mutex,
        *,
        capacity: int = CAPACITY,
        overflow: Overflow = "fail",
        write: Callable[[str], None] | None = None,
        number_of_f: Callable[[FileChanged], int] = bit_of,
    ) -> None:
        super().__init__(engine, mutex)
        self.number_of_f = number_of_f
        self.capacity = capacity
        self.overflow = overflow
        self.write = write
        self.dropped = 0
        self.stale = 0
        self.receiver: StageMachine | None = None
        """The machine that received the last message."""
        self._waiting: deque[tuple[Handle, str, StagedMessage]] = deque()
        self._kinds: dict[str, int] = {}

    def __len__(self) -> int:
        return len(self._waiting)

    def put(self, to: Handle, tag: str, message: StagedMessage) -> None:
        """Queue a message after the others. Raises MessageQueueFull."""
        waiting = self._waiting
        if len(waiting) >= self.capacity:
            if self.overflow == "fail":
                raise MessageQueueFull(
                    f"{message.name} sends {tag} to {to.machine.name}, and {len(waiting)} messages "
                    "are queued already: send less at once, or make the queue longer"
                )
            self.dropped += 1
            if self.overflow == "drop_newest":
                return
            waiting.popleft()
        waiting.append((to, tag, message))

    def drain(self) -> None:
        """Deliver the queued messages, and those that they cause; after STRETCH of them, the rest
        in the engine's next turn. Nothing is delivered once the conversation has ended.
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
        """Deliver messages that were left over."""
        self.drain()

    def crashed(self, error: Exception) -> str:
        """Return the history of the machine that was receiving."""
        return "" if self.receiver is None else Machine.crashed(self.receiver, error)

    def name(self, kind: str) -> str:
        """Return a name for a new machine of a kind: RX-1, RX-2."""
        self._kinds[kind] = self._kinds.get(kind, 0) + 1
        return f"{kind}-{self._kinds[kind]}"


class StageMachine(Machine):
    """A machine of stages, named by its kind and number. A subclass declares the stages.

    Keys are tags; a reflex is called as reflex(self, message). A tag without a reflex in the stage
    raises Unhandled; a tag declared twice raises TypeError when the class is made; start() may be
    called once.
    """

    __slots__ = ("_timers_by_tag", "handle", "queue")

    kind: ClassVar[str] = ""
    """The first part of its name; unless a class has another, its name in capitals."""

    def __init_subclass__(cls, **keywords: Any) -> None:
        super().__init_subclass__(**keywords)
        if "kind" not in vars(cls):
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
        self._timers_by_tag: dict[str, Action] = {}

    def handle_event(self, key: Hashable, data: object) -> None:
        """Receive an event of the operating system, and deliver all messages that it causes."""
        if isinstance(data, FileChanged):
            self.trace(f"file system events = {data.mask:#010x}")
            tag = f"F{self.queue.number_of_f(data)}"
        else:
            tag = _TAGS.get(key) or label(key)
        self.queue.put(self.handle, tag, StagedMessage(None, data))
        self.queue.drain()

    def call_periodic(self, method: str) -> None:
        """See Machine; deliver all messages that the method has sent."""
        super().call_periodic(method)
        self.queue.drain()

    def receive(self, tag: str, message: StagedMessage) -> None:
        """Call the reflex of the current stage with a message. Raises Unhandled."""
        if self.queue.write is not None:
            self.queue.write(str(self.receiving(tag, message)))
        try:
            super().handle_event(tag, message)
        except Unhandled as error:
            where = f"{self.name} @ {self.state.name}"
            raise Unhandled(f"{where} : no reflex for '{tag}'") from error

    def crashed(self, error: Exception) -> str:
        """Return the history of the machine that failed, which may be another of the queue."""
        return self.queue.crashed(error)

    # -- for reflexes ------------------------------------------------------------------------

    def send(self, to: StageMachine | Handle, tag: str, data: object = None) -> None:
        """Send a message, also to this machine itself; it is dropped if the handle is stale."""
        handle = to if isinstance(to, Handle) else to.handle
        self.queue.put(handle, tag, StagedMessage(self.handle, data))

    def arm(self, tag: str, seconds: float) -> None:
        """Receive a T tag once, after that time; restart its timer if it runs."""
        self.disarm(tag)
        self._timers_by_tag[tag] = self.engine.schedule_in(seconds, self, tag, None)

    def disarm(self, tag: str) -> None:
        """Stop the timer of a T tag, if it runs."""
        timer = self._timers_by_tag.pop(tag, None)
        if timer is not None:
            timer.cancel()

    def trace(self, text: str) -> None:
        """Write a line to the trace."""
        if self.queue.write is not None:
            self.queue.write(text)

    def renew_handle(self) -> None:
        """Make the handle stale: neither its timers nor its messages arrive. For pools."""
        for tag in tuple(self._timers_by_tag):
            self.disarm(tag)
        self.handle = Handle(self, self.handle.generation + 1)
