"""SupervisingProcess: a Process that declares its children, and starts them again when they end.

    class Family(SupervisingProcess):
        WATCHING = State(initial=True)
        strategy = Strategy.REST_FOR_ONE

        def specs(self) -> Sequence[MachineSpec]:
            return (
                MachineSpec("family/Child#Alice"),
                MachineSpec("family/Child#Bob", Restart.RAISE),
            )

What a parent does with a child that has failed is declared (the seed: "do nothing, restart, or
raise"): TEMPORARY does nothing, PERMANENT and TRANSIENT restart, RAISE makes the parent fail, so
that its own parent decides.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from vcproxy.bus.mailbox.mailbox import GivenUp, MailboxFull
from vcproxy.bus.mailbox.peer import Peer, show_peer
from vcproxy.supervise.child_spec import ChildSpec
from vcproxy.supervise.intensity import Intensity
from vcproxy.supervise.lifecycle import server_of
from vcproxy.supervise.process import Process
from vcproxy.supervise.strategy import Strategy
from vcproxy.supervise.supervision import Supervision
from vcproxy.supervise.supervisor import Life, Supervisor

if TYPE_CHECKING:
    from vcproxy.bus.mailbox.letter import Letter
    from vcproxy.engine.engine import Engine
    from vcproxy.supervise.children import Child
    from vcproxy.supervise.invocation import Invocation


@dataclass(frozen=True, slots=True)
class MachineSpec(ChildSpec):
    """A child that is a machine process. Its name is that of its program: see MachineName."""

    shutdown_s: float | None = 20.0
    """See ChildSpec. A machine server kills after 15 s; the rest is for the letters. None for a
    child that supervises others."""
    arguments: tuple[str, ...] = ()
    """Words that it gets as arguments."""
    host: str = ""
    """The host whose machine server starts it; "": that of its parent."""
    port: int = 0
    """The port of its address; 0: any free one."""


class SupervisingProcess(Process):
    """A process with children under a Supervisor.

    They are started once the initial state is entered, by the machine server of their host. A child
    has ended when it has sent `exited`, with a failure if it has sent `errored` before; and when it
    was silent for 60 s. `exit`, and a signal to end, stop the children first, the last one first. A
    mistake of the author ends the process at once: the children get `stop` together.

    Children that it spawns itself are not supervised. Letters of children reach its states, as
    those of any process. To upgrade a permanent child, replace its file and stop it (`vcproxy
    machine stop`): it is started again from the new file.
    """

    __slots__ = ("_errors", "_peers", "_specs", "_starts", "_supervision")

    strategy: ClassVar[Strategy] = Strategy.ONE_FOR_ONE
    """Which children are started again when one has failed."""
    intensity: ClassVar[Intensity] = Intensity()
    """One restart more makes the process fail."""

    def specs(self) -> Sequence[MachineSpec]:
        """Return the children, in the order of their starts. To be overridden."""
        return ()

    def __init__(
        self, engine: Engine, invocation: Invocation, pid: int, ended: Callable[[int], None]
    ) -> None:
        super().__init__(engine, invocation, pid, ended)
        specs = self.specs()
        self._specs = {spec.name: spec for spec in specs}
        self._peers: dict[str, Peer] = {}
        """The addresses of children that have started."""
        self._starts: dict[str, int] = {}
        """The numbers of the messages that asked for the last start of each child."""
        self._errors: dict[str, str] = {}
        """The texts of `errored`, until `exited` follows."""
        supervisor = Supervisor(specs, self.strategy, self.intensity, engine.random)
        self._supervision = Supervision(engine, self.mutex, supervisor, self, self.name)

    # -- for authors ---------------------------------------------------------------------------

    def exit(self) -> None:
        """Stop the children in order, then end."""
        self._supervision.stop()

    # -- what happens to children: see Process -------------------------------------------------

    def enter_initial_state(self) -> None:
        """See Process; then start the children."""
        super().enter_initial_state()
        if not self.ending:
            self._supervision.name = self.uid
            self._supervision.start()

    def child_started(self, child: Child) -> None:
        """A child that is awaited has started; one that is not, such as a late one, is stopped."""
        name = child.name
        if name not in self._specs:
            return
        life = self._supervision.life(name)
        if life is Life.DOWN or self._peers.get(name, child.peer) != child.peer:
            self.stop(child.peer)
            return
        self._peers[name] = child.peer
        if life in (Life.STOPPING, Life.KILLED):
            self.stop(child.peer)
        self._supervision.started(name)

    def child_errored(self, child: Child, text: str) -> None:
        """Its end, which follows, is a failure."""
        if self._peers.get(child.name) == child.peer:
            self._errors[child.name] = text

    def child_exited(self, child: Child) -> None:
        """It has ended."""
        name = child.name
        if self._peers.get(name) != child.peer:
            return
        del self._peers[name]
        error = self._errors.pop(name, "")
        self._supervision.ended(name, not error, f"has failed: {error}" if error else "has exited")

    def receive_letter(self, verb: str, letter: Letter) -> None:
        """See Process. A machine server reports a child that it cannot start."""
        if verb == "errored" and letter.words and self.children.get(letter.sender) is None:
            spec = self._specs.get(letter.words[0])
            if spec is not None and letter.sender == self._server(spec):
                self._not_started(spec.name, " ".join(letter.words[1:]))
        super().receive_letter(verb, letter)

    def receive_given_up(self, given_up: GivenUp) -> bool:
        """See Process. A machine server may not answer."""
        for name, token in self._starts.items():
            if token == given_up.token and given_up.to == self._server(self._specs[name]):
                reason = f"no machine server answers at {show_peer(given_up.to)}"
                self._not_started(name, reason)
                break
        return super().receive_given_up(given_up)

    def leave_all_states(self) -> None:
        """See Process. The lifecycle sends `stop` for each child that still runs."""
        self._supervision.abandon()
        super().leave_all_states()

    def finished(self) -> None:
        """See Process. In a final state the children are stopped in order, too."""
        if not self.ending:
            self.exit()  # only the lifecycle receives what follows

    # -- what the supervisor decides: see ChildControl -----------------------------------------

    def start_child(self, name: str) -> None:
        """Ask the machine server to start a child."""
        if self.ending:
            return
        spec = self._specs[name]
        try:
            token = self.spawn(spec.name, *spec.arguments, host=spec.host, port=spec.port)
        except (MailboxFull, ValueError) as error:
            self._supervision.ended(name, False, f"cannot be started: {error}")
        else:
            self._starts[name] = token

    def stop_child(self, name: str) -> None:
        """Ask the machine server to end a child, once it has started."""
        if name in self._peers:
            self.stop(self._peers[name])

    def kill_child(self, name: str) -> None:
        """Wait no longer for a child: the machine server has killed it."""
        peer = self._peers.pop(name, None)
        if peer is not None:
            self.children.ended(peer)
            self.stop(peer)
        self._supervision.ended(name, False, "does not answer")

    def supervision_ended(self, failure: str) -> None:
        """End, after the children: with an error if the supervisor has failed."""
        if failure:
            super().error(failure)
        else:
            super().exit()

    # -- inside ----------------------------------------------------------------------------------

    def _server(self, spec: MachineSpec) -> Peer:
        return server_of(spec.host or self.address[0])

    def _not_started(self, name: str, reason: str) -> None:
        if name not in self._peers:
            self._supervision.ended(name, False, f"cannot be started: {reason}")
