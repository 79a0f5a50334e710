"""Process: a hierarchical state machine that runs as a process of its own.

    #!/usr/bin/env python3
    from vcproxy.api import Letter, Process, State

    class Switch(Process):
        OFF = State(initial=True)
        ON = State(parent=OFF)

        OFF.goes("off", OFF)

        @OFF.on("on", to=ON)
        def switched_on(self, letter: Letter) -> None: ...

    if __name__ == "__main__":
        Switch.main()

It talks to other machines in messages, each acknowledged or given up. Its parent, which has asked a
machine server to start it, gets `started`, `pulsed` every 10 s, `errored` and `exited`. The wire is
that of the original (seed 002; wink.md 2 to 5).
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import TYPE_CHECKING, ClassVar, Final, NoReturn

from vcproxy.bus.mailbox.codec import NUMBERED, Codec
from vcproxy.bus.mailbox.mailbox import GivenUp
from vcproxy.bus.mailbox.peer import Peer, parse_peer
from vcproxy.bus.mailbox.profile import WINK, Profile
from vcproxy.engine.address import Address
from vcproxy.engine.mutex import Mutex
from vcproxy.engine.plugin_error import as_error
from vcproxy.machine.machine import Machine
from vcproxy.machine.state import ANY, LEAVE, State, label
from vcproxy.machine.table import Transition, Unhandled, steps, unhandled
from vcproxy.supervise.lifecycle import DueMessage, Lifecycle, Step, server_of

if TYPE_CHECKING:
    from vcproxy.bus.mailbox.letter import Letter
    from vcproxy.engine.dates import DateAction
    from vcproxy.engine.engine import Engine
    from vcproxy.engine.log_function import Level
    from vcproxy.engine.scheduler import Action
    from vcproxy.supervise.children import Child, Children
    from vcproxy.supervise.invocation import Invocation


EFFECT: Final = "ends a machine as an error does; its method exit() ends it in order"
"""What sys.exit() does in the author's code."""


class Process(Machine):
    """A machine that lives as a process. The keys of its receivers are verbs of messages.

    A receiver gets the Letter; that of ANY is called as receiver(self, verb, letter). An
    exception, a message that no state receives, and `error` end it: its parent gets `errored` and
    `exited`. So does a move to a final state, without `errored`; a process without states ends at
    once. The lifecycle messages of children, and `exit`, need no receiver.
    """

    __slots__ = ("_life", "invocation", "pid")

    profile: ClassVar[Profile] = WINK
    """When its messages are sent again, and when they are given up."""
    codec: ClassVar[Codec] = NUMBERED
    """How its messages are written in datagrams."""

    def __init_subclass__(cls, **keywords: object) -> None:
        """Raise TypeError for a receiver that hides a method of this class, or could never be
        called; see Machine too."""
        super().__init_subclass__(**keywords)
        for state in cls.states:
            for receiver in state.receivers:
                name = getattr(receiver.function, "__name__", "")
                if hasattr(Process, name):
                    raise TypeError(
                        f"{receiver.place}: {state!r} on {label(receiver.key)}: its method {name} "
                        f"hides Process.{name}: rename it"
                    )
                if isinstance(receiver.key, str) and len(receiver.key.split()) > 1:
                    raise TypeError(
                        f'{receiver.place}: {state!r} on "{receiver.key}": it would receive '
                        "nothing: the key is the first word of a message"
                    )

    @classmethod
    def main(cls) -> NoReturn:
        """Run it with the arguments of this program, and end the program.

        Exit status 0, or 1 after an error. See Invocation for the arguments.
        """
        from vcproxy.supervise.main import run  # the operating system, which a simulation has not

        run(cls)

    def __new__(
        cls, engine: Engine, invocation: Invocation, pid: int, ended: Callable[[int], None]
    ) -> Process:
        """Give a process without states one that ends it at once."""
        if not cls.states:
            cls = type(cls.__name__, (cls,), {"EMPTY": State(initial=True, final=True)})
        return super().__new__(cls)

    def __init__(
        self, engine: Engine, invocation: Invocation, pid: int, ended: Callable[[int], None]
    ) -> None:
        """`ended` is called once, with the exit status, when all is done."""
        super().__init__(engine, Mutex(), name=invocation.name)
        self.invocation = invocation
        self.pid = pid
        self._life = Lifecycle(self, ended)

    def begin_life(self) -> None:
        """Begin its life. The mutex is held."""
        self._life.start()

    # -- for authors -------------------------------------------------------------------------

    @property
    def uid(self) -> str:
        """What identifies it in logs: NAME@IP:PORT."""
        return self._life.uid

    @property
    def address(self) -> Peer:
        """Its own address."""
        return self._life.address

    @property
    def parent(self) -> Peer:
        """The address of its parent. Port 0: it has none."""
        return self.invocation.parent

    @property
    def arguments(self) -> tuple[str, ...]:
        """The arguments after the parent's address."""
        return self.invocation.arguments

    @property
    def children(self) -> Children:
        """The machines that have sent `started` and run, in that order."""
        return self._life.children

    @property
    def ending(self) -> bool:
        """Whether it is to end, and accepts no more messages."""
        return self._life.ending

    def send(self, to: Peer | str, text: str) -> int:
        """Send a message; return a number that is in GivenUp if it is not acknowledged.

        `to`: a peer, or text as "10.0.0.7:4000" or ":4000" (this host); a multicast group gets the
        text raw. Raises MailboxFull if too many messages to that peer are not acknowledged yet,
        ValueError for text that cannot be sent, and for the name of a host.
        """
        return self._life.send(_peer(to) if isinstance(to, str) else to, text)

    def send_after(self, seconds: float, to: Peer | str, text: str) -> Action:
        """Send a message after a time; return a handle to cancel it."""
        message = DueMessage(_peer(to), text)
        return self.engine.schedule_in(seconds, self._life, Step.SEND, message)

    def send_at(self, date: float, to: Peer | str, text: str) -> DateAction:
        """Send a message at a date, in seconds since 1970, UTC; return a handle to cancel it.

        It follows the clock of the system when that is set.
        """
        message = DueMessage(_peer(to), text)
        return self.engine.schedule_at_date(date, self._life, Step.SEND, message)

    def spawn(self, name: str, *arguments: str, host: str = "", port: int = 0) -> int:
        """Ask the machine server of a host (empty: this one) to start a machine as a child.

        The child sends `started`. Port 0: any free one. Returns the number of the message, as
        `send`. Raises ValueError for names and arguments that are not one word.
        """
        for word in (name, *arguments):
            if len(word.split()) != 1:
                raise ValueError(f'"{word}" is not one word: a message separates them by spaces')
        text = " ".join(("start", name, f":{port}", *arguments))
        return self._life.send(server_of(host or self.address[0]), text)

    def stop(self, machine: Peer) -> None:
        """Ask the server of a machine, as a child, to end it in order."""
        self._life.stop(machine)

    def exit(self) -> None:
        """End in order. Messages that were accepted before are still received, more are not."""
        self._life.end(None)

    def error(self, text: str) -> None:
        """End as `exit` does, with an error: the parent gets `errored` with the text first."""
        self._life.end(text)

    def log(self, text: object, level: Level = "info") -> None:
        """Log a line that begins with `uid`. `level`: see Session."""
        self.engine.log(level, f"{self.uid}: {text}")

    # -- hooks for subclasses ----------------------------------------------------------------

    def groups(self) -> tuple[Peer, ...]:
        """Return the multicast groups to join, each at its own port. To be overridden."""
        return ()

    def child_started(self, child: Child) -> None:
        """Called for each child before the receiver of `started`. To be overridden."""

    def child_errored(self, child: Child, text: str) -> None:
        """Called before the receiver of a child's `errored`. To be overridden."""

    def child_exited(self, child: Child) -> None:
        """Called before the receiver of a child's `exited`. To be overridden."""

    # -- for the lifecycle -------------------------------------------------------------------

    def enter_initial_state(self) -> None:
        """Enter the initial state."""
        self._life.log(f"transitioned to {self._initial_move[2].name}")
        self.attempt_call(self.start)

    def attempt_call(self, call: Callable[..., object], *arguments: object) -> None:
        """Make a call of the author's code. An exception in it ends the process."""
        try:
            call(*arguments)
        except BaseException as mistake:
            self._failed(as_error(mistake, EFFECT))

    def receive_letter(self, verb: str, letter: Letter) -> None:
        """Pass a message to the receiver in the current state, if there is one."""
        table = self._table
        if verb not in table and table[ANY][0] is unhandled:
            self.remember((self._state, verb, letter.name))
        else:
            self.handle_event(verb, letter)

    def receive_given_up(self, given_up: GivenUp) -> bool:
        """Pass a GivenUp to the receiver in the current state; return False if there is none."""
        received = GivenUp in self._table
        if received:
            self.handle_event(GivenUp, given_up)
        return received

    def leave_all_states(self) -> None:
        """Call the leave hooks of the current states, innermost first; receive nothing more."""
        for _, hook in steps(type(self), self._state.path[::-1], LEAVE):
            if hook is not None:
                self.attempt_call(hook, self)
        self.abandon()

    def handle_event(self, key: Hashable, data: object) -> None:
        """See Machine. An exception ends the process."""
        try:
            Machine.handle_event(self, key, data)  # super() costs more
        except BaseException as mistake:
            self._failed(as_error(mistake, EFFECT), key)

    def call_periodic(self, method: str) -> None:
        """See Machine. An exception ends the process."""
        self.attempt_call(super().call_periodic, method)

    def finished(self) -> None:
        """End: it is in a final state, or was abandoned."""
        self._life.end(None)

    def _move(self, move: Transition) -> None:
        if move is not self._initial_move:
            self._life.log(f"transitioned from {self._state.name} to {move[2].name}")
        super()._move(move)

    def _failed(self, error: Exception, key: Hashable = None) -> None:
        """End with an error: an exception in the author's code, or a message without a receiver."""
        if isinstance(error, Unhandled):
            self.engine.log("error", f"{self.uid}: {error}")
            text = f"Unhandled message: {label(key)}"
        else:
            self.engine.log("error", f"{self.uid} failed\n{self.crashed(error)}".rstrip(), error)
            text = str(error).partition("\n")[0] or type(error).__name__
        self._life.end(text)
        self.abandon()


def _peer(to: Peer | str) -> Peer:
    """Return a peer that a message can be sent to. Raises ValueError."""
    if not isinstance(to, str):
        return to
    peer = parse_peer(to)
    if not Address("udp", *peer).numeric:
        raise ValueError(f'"{to}": machines send to addresses, such as 10.0.0.7:4000, not to names')
    return peer
