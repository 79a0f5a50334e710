"""Machine: a continuation whose behaviour is declared as states.

    class Relay(Machine):
        WAITING = State(initial=True, timeout="5s")
        RELAYING, DONE = State(), State(final=True)
        WAITING.goes(Event.TIMEOUT, DONE)

        @WAITING.on(Message, to=RELAYING)
        def received(self, message: Message) -> None: ...

Any state may be current, also one with children. A move leaves states up to the nearest one that
contains both ends, and enters states down from there; only a move to the current state itself
leaves and enters that one. A machine moves only by declared receivers, to declared targets.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from typing import TYPE_CHECKING, Any, ClassVar, Final, NamedTuple

from vcproxy.engine.continuation import Continuation
from vcproxy.engine.event import Event
from vcproxy.machine import graph
from vcproxy.machine.state import ANY, State, label
from vcproxy.machine.table import (
    ABANDONED,
    Entry,
    Record,
    Table,
    Transition,
    build,
    catch,
    transition,
    unhandled,
)

if TYPE_CHECKING:
    from vcproxy.engine.engine import Engine
    from vcproxy.engine.mutex import Mutex
    from vcproxy.engine.scheduler import Action

REMEMBERED: Final = 64
"""Events in a machine's history, a ring: Traffic Server's transactions keep 65."""
_FIRST_SLOTS = 8  # most machines get few events: the ring doubles when it is full
_TIMEOUT = Event.TIMEOUT


class HistoryEntry(NamedTuple):
    """One event in a machine's history."""

    machine: str
    state: State
    key: Hashable
    source: str
    """OS for an engine event or a message without a name, SELF for the machine itself, else the
    name of the sender."""

    def __str__(self) -> str:
        return f"{self.machine} @ {self.state.name} got '{label(self.key)}' from {self.source}"


class Machine(Continuation):
    """A hierarchical state machine. A class without states is abstract: a base for others.

    Make it, then start() it: the constructor enters no state. Making the class raises TypeError
    where its graph breaks a rule (see vcproxy.machine.graph).
    """

    __slots__ = ("_next", "_ring", "_state", "_table", "_timers", "name")

    CREATED = State()
    """The current state until start(): it receives nothing."""
    states: ClassVar[tuple[State, ...]] = ()
    """The states, in the order of declaration."""
    parts: ClassVar[tuple[type[Machine], ...]] = ()
    """The machines that it passes its events on to: `vcproxy diagram` draws them with it."""
    _initial_move: ClassVar[Transition]
    _created_table: ClassVar[Table] = {ANY: (unhandled, None, None, {})}

    def __init_subclass__(cls, **keywords: Any) -> None:
        super().__init_subclass__(**keywords)
        declared = tuple(value for value in vars(cls).values() if isinstance(value, State))
        if declared and cls.states:
            raise TypeError(
                f"{declared[0].place}: {declared[0]!r}: a subclass of {cls.states[0].machine} "
                "cannot add states: it may only override methods"
            )
        if declared:
            graph.check(cls.__qualname__, vars(cls))
            cls.states = declared
        if cls.states:
            initial = next(state for state in cls.states if state.initial)
            cls._initial_move = transition(cls, Machine.CREATED, initial, build(cls)[initial])

    @classmethod
    def transitions(cls) -> Iterator[tuple[State, Hashable, State]]:
        """Yield each declared (source, key, target): the arrows of a diagram."""
        for state in cls.states:
            for receiver in state.receivers:
                for target in receiver.targets:
                    yield state, receiver.key, target

    def __init__(self, engine: Engine, mutex: Mutex, *, name: str = "") -> None:
        if not self.states:
            raise TypeError(f"{type(self).__qualname__} declares no states: it is a base class")
        self.engine = engine  # what Continuation.__init__ sets; set here for speed
        self.mutex = mutex
        self.name = name or type(self).__name__
        self._state = Machine.CREATED
        self._table = self._created_table
        self._timers: tuple[Action, ...] = ()
        self._ring: list[Record | None] = [None] * _FIRST_SLOTS
        self._next = 0

    @property
    def state(self) -> State:
        """The current state; CREATED before start()."""
        return self._state

    def __repr__(self) -> str:
        return f"<{self.name} @ {self._state.name}>"

    def start(self) -> None:
        """Enter the initial state. Raises RuntimeError when called again."""
        if self._state is not Machine.CREATED:
            raise RuntimeError(f"{self!r} has been started already: a machine starts once")
        _, entering, initial, table = self._initial_move
        if entering or initial.final:
            self._move(self._initial_move)
        else:
            self._state = initial
            self._table = table
        if self.periodic and not initial.final:
            from vcproxy.machine.every import start_periodic  # few machines have periodic work

            options = getattr(self, "options", None)
            start_periodic(self, self.name, type(self), options, self.call_periodic)

    def call_periodic(self, method: str) -> None:
        """Call a method that is declared with `every`."""
        self.remember((self._state, method, self.name))
        getattr(self, method)()

    def handle_event(self, key: Hashable, data: object) -> None:
        """Call the receiver that is declared for the key in the current state.

        A timeout whose state has been left is ignored, and so is any event in a final state that
        has no receiver for it: messages may have been queued before. Raises Unhandled where nothing
        receives the key, ValueError for a target that was not declared.
        """
        try:
            function, record, move, choices = self._table[key]
        except KeyError:
            entry = self._find_entry(key, data)
            if entry is None:
                return
            function, record, move, choices = entry
        if record is None:
            # Only the name is kept: the history must not keep messages and their buffers alive.
            name = getattr(data, "name", None)
            record = self._state, key, name if type(name) is str else "OS"
        latest = self._next
        try:
            self._ring[latest] = record
        except IndexError:
            latest = self._extend_ring(record)
        self._next = latest + 1
        target = function(self, data)
        if target is not None:
            try:
                move = choices[target]
            except (KeyError, TypeError):
                raise self._undeclared(target, key, choices) from None
        if move is not None:
            self._move(move)

    def remember(self, record: Record) -> None:
        """Add to the history an event that another object has handled for this machine."""
        latest = self._next
        try:
            self._ring[latest] = record
        except IndexError:
            latest = self._extend_ring(record)
        self._next = latest + 1

    def receiving(self, key: Hashable, data: object) -> HistoryEntry | None:
        """Return the history entry of an event before it is received; None for an old timeout."""
        if isinstance(key, Event):
            if key is _TIMEOUT and self._find_entry(key, data) is None:
                return None
            source = "OS"
        else:
            name = getattr(data, "name", None)
            source = name if type(name) is str else "OS"
        return HistoryEntry(self.name, self._state, key, "SELF" if source == self.name else source)

    def history(self) -> Iterator[HistoryEntry]:
        """Yield the last REMEMBERED events, oldest first; the one being received is the last."""
        for record in (*self._ring[self._next :], *self._ring[: self._next]):
            if record is not None:
                state, key, source = record
                yield HistoryEntry(self.name, state, key, "SELF" if source == self.name else source)

    def crashed(self, error: Exception) -> str:
        """Return the history for the log, one line for each event."""
        return "\n".join(map(str, self.history()))

    def finished(self) -> None:
        """Called once at the end, in a final state or by `abandon`. For subclasses to override."""

    def abandon(self) -> None:
        """End the machine in its current state; it receives nothing more."""
        for timer in self._timers:
            timer.cancel()
        self._timers = ()
        self._table = ABANDONED
        if self.engine.sources:
            self.engine.sources.close_those_of(self)
        self.finished()

    def _find_entry(self, key: Hashable, data: object) -> Entry | None:
        """Find the entry for a timeout (None: its state has been left) or for the catch-all."""
        if key is _TIMEOUT:
            return self._table.get(data) if isinstance(data, State) else None
        return catch(self._table[ANY], key)

    def _move(self, move: Transition) -> None:
        leaving, entering, target, table = move
        for state, hook in leaving:
            if state.seconds is not None:
                # Inner states are left before outer ones, so their timers are a stack.
                self._timers[-1].cancel()
                self._timers = self._timers[:-1]
            if hook is not None:
                hook(self)
        self._state = target
        self._table = table
        for state, hook in entering:
            if state.seconds is not None:
                timer = self.engine.schedule_in(state.seconds, self, _TIMEOUT, state)
                self._timers += (timer,)
            if hook is not None:
                hook(self)
        if target.final:
            if self.engine.sources:
                self.engine.sources.close_those_of(self)
            self.finished()

    def _extend_ring(self, record: Record) -> int:
        """Store the record past the ring's end: in a longer ring, or at its beginning."""
        ring = self._ring
        latest = len(ring) % REMEMBERED
        if latest:
            ring.extend([None] * latest)
        ring[latest] = record
        return latest

    def _undeclared(
        self, target: object, key: Hashable, choices: dict[State, Transition]
    ) -> ValueError:
        declared = ", ".join(choice.name for choice in choices) or "no target"
        return ValueError(
            f"{self.name} @ {self._state.name}: the receiver of {label(key)} returned {target!r}; "
            f"it declares {declared}: return one of them, or None"
        )
