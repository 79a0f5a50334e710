"""ServedMachine: one machine of a server, from the request to start it until its process has ended.

Its program is looked for, then it waits until its port is free, then its process is launched. The
process is expected to register itself, and to end in order when it gets SIGTERM. Whoever has asked
for the machine gets `errored NAME REASON` if it does not come so far that it registers: the
original's server sends nothing then.

Tested in tests/supervise/test_server.py.
"""

from __future__ import annotations

from enum import Enum, auto
from typing import TYPE_CHECKING, Final, cast

from vcproxy.bus.mailbox.peer import Peer, show_peer
from vcproxy.engine.calls import Called
from vcproxy.engine.event import Event
from vcproxy.engine.sources.child_process import (
    ChildContinued,
    ChildExited,
    ChildKilled,
    ChildProcess,
    ChildStopped,
    Launch,
    Launched,
    LaunchFailed,
)
from vcproxy.machine.machine import Machine
from vcproxy.machine.state import State
from vcproxy.supervise.server_request import StartRequest

if TYPE_CHECKING:
    from vcproxy.engine.log_function import Level
    from vcproxy.supervise.server import MachineServer

SIGKILL: Final = 9
SIGTERM: Final = 15

REGISTER_WITHIN: Final = "60s"
"""How long a process may take until it registers: as long as a parent waits for a pulse."""

END_WITHIN: Final = "15s"
"""How long a process may take to end. A machine waits up to 10 s until its last messages are
acknowledged or given up (profile wink); its own work at the end has 5 s."""


YIELD_S: Final = 2.5
"""How long a machine that has unregistered itself may wait for acknowledgements if another machine
waits for its port. Parents that live acknowledge at once, or after one repetition (profile wink:
2 s); others, such as a command that has started it, would cost 10 s. A second SIGTERM ends the
wait."""


class Order(Enum):
    """What a server has a machine do."""

    PORT_FREE = auto()
    """Launch: the machine that was at the port has ended."""
    REPLACED = auto()
    """Give up waiting for the port: a later request wants it."""
    REGISTERED = auto()
    """The machine has registered itself; with its port."""
    UNREGISTERED = auto()
    """The machine has unregistered itself: it is ending."""
    STOP = auto()
    """End in order (SIGTERM)."""
    YIELD = auto()
    """The same, for another machine waits for the port."""
    END_WAIT = auto()
    """End without waiting for acknowledgements (a second SIGTERM)."""
    KILL = auto()
    """End at once (SIGKILL)."""


class ServedMachine(Machine):
    """One machine of a server. All machines of a server and the server share one mutex."""

    LOOKING = State(initial=True)
    """Its program is looked for."""
    WAITING = State()
    """The machine that is at its port ends."""
    PROCESS = State()
    """There is a process, or there will be."""
    LAUNCHING = State(parent=PROCESS)
    UNREGISTERED = State(parent=PROCESS, timeout=REGISTER_WITHIN)
    REGISTERED = State(parent=PROCESS)
    LEAVING = State(parent=PROCESS, timeout=END_WITHIN)
    """It is ending by itself."""
    STOPPING = State(parent=PROCESS, timeout=END_WITHIN)
    """It has got SIGTERM."""
    KILLED = State(parent=PROCESS)
    """It has got SIGKILL."""
    ENDED = State(final=True)

    def __init__(self, server: MachineServer, request: StartRequest, asker: Peer) -> None:
        """`asker`: who has sent the request; it becomes the parent of the machine."""
        super().__init__(server.engine, server.mutex, name=str(request.name))
        self.server = server
        self.request = request
        self.asker = asker
        self.parent = server.machine_at(asker)
        """The machine of the same server that has asked for it; None: it was somebody else."""
        self.children = 0
        """How many machines have it as their parent."""
        self.port = request.port
        """Its port; 0: not known yet."""
        self.pid = 0
        """Its process; 0: none yet."""
        self.output = ""
        """Its log file; "": it writes to the standard output of the server."""
        self._yields = False  # another machine waits for its port
        self._leaves = False  # it has unregistered itself
        self._answered = False  # it has registered, or its asker got `errored`

    # -- before there is a process -----------------------------------------------------------

    @LOOKING.enter
    def look(self) -> None:
        """Look for the program off the loop: a disk may be slow."""
        name, files = self.request.name, self.server.files
        self.engine.call(self, files.find, name.path, f"{self.server.stamp()}{name.file_name}.log")

    @LOOKING.on(Called, to=(WAITING, LAUNCHING, ENDED))
    def found(self, called: Called) -> State:
        """Take the port, if the program was found: a wrong name stops no machine."""
        executable, output, problem = _found(called)
        if problem:
            self.engine.log("warning", f"{self.name}: {problem}")
        if not executable:
            self._errored(problem)
            return self.ENDED
        self._executable, self.output = executable, output
        return self.LAUNCHING if self.server.claim_port(self) else self.WAITING

    WAITING.goes(Order.PORT_FREE, LAUNCHING)

    @WAITING.on(Order.REPLACED, to=ENDED)
    def replaced(self, _: None) -> None:
        """Leave the port to a later request."""
        self._errored(f"a later request has replaced it at port {self.request.port}")

    @LOOKING.on(Order.STOP, Order.KILL, to=ENDED)
    @WAITING.on(Order.STOP, Order.KILL, to=ENDED)
    def not_wanted(self, _: None) -> None:
        """End before there is a process."""
        self._errored("it was stopped before it was started")

    # -- the process -------------------------------------------------------------------------

    @LAUNCHING.enter
    def launch(self) -> None:
        """Start the process, with the arguments of the original."""
        server, request = self.server, self.request
        own = show_peer((server.address[0], request.port)), show_peer(self.asker)
        path = () if server.legacy else (server.files.shown(request.name.path),)
        argv = *path, self.name, *own, *request.arguments
        environment = server.files.environment()
        launch = Launch(self._executable, argv, environment=environment, output=self.output)
        self._child = ChildProcess(self, self.name, launch)
        server.launching(self)

    @PROCESS.on(LaunchFailed, to=ENDED)
    def launch_failed(self, failed: LaunchFailed) -> None:
        """Report the reason to the asker."""
        self.engine.log("warning", f"{self.name}: cannot be started: {failed.reason}")
        self._errored(failed.reason)

    @LAUNCHING.on(Launched, to=UNREGISTERED)
    @STOPPING.on(Launched)
    @KILLED.on(Launched)
    def launched(self, launched: Launched) -> None:
        """Believe this process when it registers."""
        self.pid = launched.pid
        self.engine.log("info", f"Forked: {launched.pid}")
        self.server.launched(self)

    @UNREGISTERED.on(Order.REGISTERED, to=REGISTERED)
    @STOPPING.on(Order.REGISTERED)
    @KILLED.on(Order.REGISTERED)
    def registered(self, port: int) -> None:
        """The asker has got `started` from the machine itself."""
        self.port = port
        self._answered = True

    @UNREGISTERED.on(Event.TIMEOUT, to=STOPPING)
    def silent(self, _: State) -> None:
        """Stop a process that is not a machine: it could not be listed or stopped."""
        reason = f"it has not registered within {REGISTER_WITHIN}"
        self.engine.log("warning", f"{self.name} ({self.pid}): {reason}; it is stopped")
        self._errored(reason)

    LAUNCHING.goes(Order.STOP, STOPPING)
    UNREGISTERED.goes(Order.STOP, STOPPING)
    REGISTERED.goes(Order.STOP, STOPPING)
    PROCESS.goes(Order.KILL, KILLED)

    @PROCESS.on(Order.STOP, Order.REGISTERED)
    def no_change(self, _: int | None) -> None:
        """It is ending already, or has registered twice."""

    @LAUNCHING.on(Order.YIELD, to=STOPPING)
    @UNREGISTERED.on(Order.YIELD, to=STOPPING)
    @REGISTERED.on(Order.YIELD, to=STOPPING)
    @PROCESS.on(Order.YIELD)
    def yields(self, _: None) -> None:
        """End, and soon."""
        self._yields = True
        self._end_wait_soon()

    @REGISTERED.on(Order.UNREGISTERED, to=LEAVING)
    @PROCESS.on(Order.UNREGISTERED)
    def leaves(self, _: None) -> None:
        """It has done its work, and waits for acknowledgements only."""
        self._leaves = True
        self._end_wait_soon()

    def _end_wait_soon(self) -> None:
        if self._yields and self._leaves:
            self.engine.schedule_in(YIELD_S, self, Order.END_WAIT, None)

    @PROCESS.on(Order.END_WAIT)
    def end_wait(self, _: None) -> None:
        """Have it end without waiting."""
        self._child.signal(SIGTERM)

    @STOPPING.enter
    def terminate(self) -> None:
        """Have it end in order."""
        self.engine.log("info", f"Killing: {self.port} : {self.pid}")
        self._child.signal(SIGTERM)

    @LEAVING.on(Event.TIMEOUT, to=KILLED)
    @STOPPING.on(Event.TIMEOUT, to=KILLED)
    def does_not_end(self, _: State) -> None:
        """Kill a process that does not end."""
        self.engine.log(
            "warning", f"{self.name} ({self.pid}): has not ended within {END_WITHIN}; it is killed"
        )

    @KILLED.enter
    def kill(self) -> None:
        """End it at once."""
        self._child.signal(SIGKILL)

    @PROCESS.on(ChildStopped)
    def stopped(self, stopped: ChildStopped) -> None:
        """Log it: a stopped machine sends no pulse, and its parent will consider it failed."""
        self.engine.log("info", f"{self.name} ({self.pid}): stopped by signal {stopped.signal}")

    @PROCESS.on(ChildContinued)
    def continued(self, _: ChildContinued) -> None:
        """Log it."""
        self.engine.log("info", f"{self.name} ({self.pid}): continued")

    @PROCESS.on(ChildExited, to=ENDED)
    def exited(self, exited: ChildExited) -> None:
        """The process has ended by itself."""
        self._ended(f"exit status {exited.status}", orderly=not exited.status)

    @PROCESS.on(ChildKilled, to=ENDED)
    def killed(self, killed: ChildKilled) -> None:
        """A signal has ended the process."""
        asked = self.state is self.STOPPING and killed.signal == SIGTERM
        self._ended(f"killed by signal {killed.signal}", orderly=asked)

    def finished(self) -> None:
        """Leave the server."""
        self.server.machine_ended(self)

    def _ended(self, how: str, *, orderly: bool) -> None:
        level: Level = "info" if orderly and self._answered else "warning"
        self.engine.log(level, f"Ended: {self.pid} {self.name}, {how}")
        output = self.output or "the output of the server"
        self._errored(f"its process has ended before it registered: {how}; see {output}")

    def _errored(self, reason: str) -> None:
        """Send the reason to the asker, if it has got no answer yet."""
        if not self._answered:
            self._answered = True
            self.server.send(self.asker, f"errored {self.name} {reason}")


def _found(called: Called) -> tuple[str, str, str]:
    """Return executable, log file and problem of a result of `ServedFiles.find`."""
    if called.error is not None:
        return "", "", f"its program cannot be looked for: {called.error}"
    return cast("tuple[str, str, str]", called.value)
