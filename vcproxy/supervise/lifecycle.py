"""Lifecycle: what every machine process does from its start to its end, in the original's order.

bind; `started` to the parent; `register` to the machine server of the host; the author's initial
state; `pulsed` to the parent every 10 s. At the end: the author's leave hooks, innermost first;
`errored` if it has failed; `exited`; `unregister`; `stop` for each child that still runs; then it
waits until each of these messages is acknowledged or given up (wink.md 4).

Tested in tests/supervise/test_process.py.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto
from typing import TYPE_CHECKING, Final

from vcproxy.bus.mailbox.datagram_mailbox import DatagramMailbox, Flushed
from vcproxy.bus.mailbox.letter import Letter
from vcproxy.bus.mailbox.mailbox import GivenUp, MailboxFull
from vcproxy.bus.mailbox.peer import Peer, show_peer
from vcproxy.engine.sources.datagrams import BindFailed, Bound
from vcproxy.engine.sources.signals import Signal, Signals
from vcproxy.machine.machine import Machine
from vcproxy.machine.state import State
from vcproxy.supervise.children import PULSE_S, Children
from vcproxy.supervise.server_request import SERVER_PORT

if TYPE_CHECKING:
    from vcproxy.engine.scheduler import Action
    from vcproxy.supervise.process import Process
    from vcproxy.supervise.process_messages import ProcessMessages

TERMINATION: Final = (2, 15)
"""SIGINT and SIGTERM: the signals that end a machine in order."""

REBIND_S: Final = 0.1
"""The pause between two attempts to bind an address in use."""

REBIND_FOR_S: Final = 20.0
"""How long it is tried. The machine that had the address waits at its end for acknowledgements: up
to 10 s with the profile `wink`."""

LIFECYCLE: Final = frozenset(("started", "pulsed", "errored", "exited", "exit"))
"""Messages that the lifecycle receives. A state need not receive them too."""

OWN: Final = frozenset(("started", "register", "pulsed"))
"""Messages of the lifecycle while a machine runs: the author does not get their GivenUp."""

SHOWN: Final = 1_000
"""Characters of a message in the log; the rest is left out."""

LONGEST_ERROR: Final = 1_000
"""Characters of the text of `errored`: an exception may contain a whole document."""


def server_of(host: str) -> Peer:
    """Return the address of the machine server of a host."""
    return host, SERVER_PORT


class Step(Enum):
    """Keys of the events that a lifecycle sends itself."""

    PULSE = auto()
    """It is time for `pulsed`."""
    WATCH = auto()
    """A child may be overdue."""
    SEND = auto()
    """A message is due: see `Process.send_after`."""
    REBIND = auto()
    """It is time to bind again."""
    END = auto()
    """All that was accepted before the decision to end has been received."""


@dataclass(frozen=True, slots=True)
class DueMessage:
    """A message to send later."""

    to: Peer
    text: str


class Lifecycle(Machine):
    """The life of one process. It owns the mailbox, the signals, the timers and the children.

    The author's states are a machine of their own, the Process, under the same mutex. `ended` is
    called once with the exit status: 0, or 1 after an error.
    """

    BINDING = State(initial=True)
    RUNNING = State()
    FLUSHING = State()
    ENDED = State(final=True)

    BINDING.goes(Signal, ENDED)
    FLUSHING.goes(Signal, ENDED)
    FLUSHING.goes(Flushed, ENDED)

    def __init__(self, process: Process, ended: Callable[[int], None]) -> None:
        invocation = process.invocation
        super().__init__(process.engine, process.mutex, name=invocation.name)
        self.process = process
        self.parent = invocation.parent
        self.address = invocation.address
        """Its own address; after binding with the actual port."""
        self.uid = invocation.name
        """After binding NAME@ADDRESS."""
        self.children = Children()
        self.failure: str | None = None
        """The text of `errored`; None: it has not failed."""
        self.ending = False
        """Whether it has been decided to end: no more messages are accepted."""
        self._on_end = ended
        self._rebind_until = self.engine.now + REBIND_FOR_S
        self._binding_again = False
        self._parent_silent = False  # `pulsed` was given up, and that was logged
        self._pulses: Action | None = None
        self._watch: Action | None = None
        self._messages: ProcessMessages | None = None

    # -- BINDING -----------------------------------------------------------------------------

    @BINDING.enter
    def open(self) -> None:
        """Take the signals and bind."""
        self.signals = Signals(self, TERMINATION)
        self.bind(None)

    @BINDING.on(Step.REBIND)
    def bind(self, _: None) -> None:
        """Open the mailbox."""
        process = self.process
        self.mailbox = DatagramMailbox(
            self,
            process.invocation.address,
            process.profile,
            process.codec,
            process.groups(),
            name=self.name,
        )

    @BINDING.on(BindFailed, to=(ENDED,))
    def bind_failed(self, failed: BindFailed) -> State | None:
        """End, or try again where the machine that had the address may be about to end."""
        self.mailbox.close()
        if failed.in_use and self.engine.now < self._rebind_until:
            if not self._binding_again:
                self._binding_again = True
                text = f"{self.name}: waits until it can bind: {failed.reason}"
                self.engine.log("warning", text)
            self.engine.schedule_in(REBIND_S, self, Step.REBIND, None)
            return None
        self.failure = failed.reason
        self.engine.log("error", f"{self.name}: not started: {failed.reason}")
        return self.ENDED

    @BINDING.on(Bound, to=RUNNING)
    def bound(self, bound: Bound) -> None:
        """Report the start to the parent and to the server."""
        self.address = bound.address
        self.uid = f"{self.name}@{show_peer(bound.address)}"
        self.log("started")
        self._report("started")
        self._send_or_log(server_of(bound.address[0]), f"register {self.name} {self.process.pid}")

    # -- RUNNING -----------------------------------------------------------------------------

    @RUNNING.enter
    def begin(self) -> None:
        """Enter the author's initial state."""
        self._pulses = self.engine.schedule_every(PULSE_S, self, Step.PULSE, None)
        self.process.enter_initial_state()
        if self.process.receives_messages and not self.process.state.final:
            from vcproxy.supervise.process_messages import ProcessMessages  # most need none

            self._messages = ProcessMessages(self.process)

    @RUNNING.on(Step.PULSE)
    def pulse(self, _: None) -> None:
        """Report to the parent that the process lives."""
        if self.mailbox.mailbox.has_acknowledged(self.parent):
            self._parent_silent = False
        self._report("pulsed")

    @RUNNING.on(Step.SEND)
    def due(self, message: DueMessage) -> None:
        """Send a message of `send_after` or `send_at`."""
        self.process.attempt_call(self.send, message.to, message.text)

    @RUNNING.on(Step.WATCH)
    def watch(self, _: None) -> None:
        """Report children that are silent, as if they had done so themselves.

        Their server is asked to stop them: a child that hangs does not run beside its successor.
        """
        for child in self.children.overdue(self.engine.now):
            self.stop(child.peer)
            for text in (f"errored {child.name} heartbeat timeout", f"exited {child.name}"):
                self.received(Letter(child.peer, text, self.address))
        self._watch = None
        self._watch_next()

    @RUNNING.on(Letter)
    def received(self, letter: Letter) -> None:
        """Pass a message on to the author's states."""
        verb = letter.verb
        self.engine.log("info", f"{self.uid} < {letter.name} {letter.text[:SHOWN]}")
        if verb in LIFECYCLE:
            self._note(verb, letter)
            self._watch_next()
        else:
            self.process.handle_event(verb, letter)

    @RUNNING.on(GivenUp)
    def given_up(self, given_up: GivenUp) -> None:
        """Pass it on to the author's states, or log it.

        A parent that is gone, as is the client that has asked for a machine, is logged once.
        """
        verb = given_up.text.partition(" ")[0]
        own = verb in OWN and given_up.to in (self.parent, server_of(self.address[0]))
        if verb == "pulsed" and own:
            if self._parent_silent:
                return
            self._parent_silent = True
        if own or not self.process.receive_given_up(given_up):
            self._log_given_up(given_up)

    @RUNNING.on(Signal)
    def signalled(self, signal: Signal) -> None:
        """End in order."""
        self.process.exit()

    @RUNNING.on(Step.END, to=FLUSHING)
    def leave(self, _: None) -> None:
        """Leave all states, then report the end."""
        for timer in (self._pulses, self._watch):
            if timer is not None:
                timer.cancel()
        if self._messages is not None:
            self._messages.close()
        self.process.leave_all_states()
        if self.failure is not None:
            self.log(f"errored: {self.failure}")
            self._report("errored", f" {self.failure}")
        self.log("exited")
        self._report("exited")
        self._send_or_log(server_of(self.address[0]), "unregister")
        for child in reversed(tuple(self.children)):  # those that started last may need the others
            self.stop(child.peer)

    # -- FLUSHING and ENDED ------------------------------------------------------------------

    @FLUSHING.enter
    def flush(self) -> None:
        """Wait until all messages are acknowledged or given up."""
        self.mailbox.flush()

    @FLUSHING.on(GivenUp)
    def not_flushed(self, given_up: GivenUp) -> None:
        """Log it."""
        self._log_given_up(given_up)

    @FLUSHING.on(Step.PULSE, Step.WATCH, Step.SEND)
    def too_late(self, _: object) -> None:
        """Ignore what was to be done later."""

    def finished(self) -> None:
        """Close all sources."""
        self.mailbox.close()
        self.signals.close()
        self._on_end(0 if self.failure is None else 1)

    # -- for Process -------------------------------------------------------------------------

    def end(self, failure: str | None) -> None:
        """Accept no more messages; end when those that were accepted before have been received.

        A failure replaces an end without one.
        """
        if failure is not None and self.failure is None:
            text = failure[:LONGEST_ERROR]
            self.failure = text.encode("utf-8", "backslashreplace").decode()  # it can be sent
        if not self.ending:
            self.ending = True
            self.mailbox.refuse()
            self.engine.schedule(self, Step.END, None)

    def send(self, to: Peer, text: str) -> int:
        """Send a message; return its number in GivenUp. Raises MailboxFull, ValueError."""
        self.engine.log("info", f"{self.uid} > {show_peer(to)} {text[:SHOWN]}")
        return self.mailbox.send(to, text)

    def stop(self, machine: Peer) -> None:
        """Ask the server of a machine to end it in order."""
        self._send_or_log(server_of(machine[0]), f"stop {machine[1]}")

    def log(self, text: str) -> None:
        """Log a line of this process."""
        self.engine.log("info", f"{self.uid} {text}")

    # -- inside ------------------------------------------------------------------------------

    def _note(self, verb: str, letter: Letter) -> None:
        """Do what the lifecycle does with a message, then pass it on to the author's states."""
        process, children = self.process, self.children
        if verb == "pulsed":
            if not children.pulsed(letter.sender, self.engine.now):
                self._child_started(letter)  # its `started` was given up
        elif verb == "started":
            self._child_started(letter)
        elif verb == "errored":
            child = children.get(letter.sender)
            if child is not None:
                process.attempt_call(process.child_errored, child, " ".join(letter.words[1:]))
        elif verb == "exited":
            child = children.ended(letter.sender)
            if child is not None:
                process.attempt_call(process.child_exited, child)
        process.receive_letter(verb, letter)
        if verb == "exit":
            process.exit()

    def _child_started(self, letter: Letter) -> None:
        name = letter.words[0] if letter.words else ""
        child = self.children.started(letter.sender, name, self.engine.now)
        if child is None:
            text = (
                f"{self.uid}: {name} at {letter.name} is not watched: there are too many children"
            )
            self.engine.log("warning", text)
        else:
            self.process.attempt_call(self.process.child_started, child)

    def _watch_next(self) -> None:
        deadline = self.children.deadline
        if self._watch is None and deadline is not None:
            self._watch = self.engine.schedule_at(deadline, self, Step.WATCH, None)

    def _report(self, verb: str, more: str = "") -> None:
        """Send a lifecycle message to the parent, if there is one."""
        if self.parent[1]:
            self._send_or_log(self.parent, f"{verb} {self.name}{more}")

    def _send_or_log(self, to: Peer, text: str) -> None:
        try:
            self.send(to, text)
        except MailboxFull as full:
            self.engine.log("warning", f"{self.uid}: not sent: {text}: {full}")

    def _log_given_up(self, given_up: GivenUp) -> None:
        text = f"{self.uid}: not acknowledged by {show_peer(given_up.to)}: {given_up.text}"
        self.engine.log("warning", text)
