"""SimulatedMachines: machine processes and their server, on a simulated network in virtual time.

    with SimulatedMachines({"family/Parent": Parent, "family/Child": Child}) as machines:
        parent = machines.start("family/Parent")
        machines.run(until=lambda: "exited family/Parent" in machines.client.texts)

Tested in tests/supervise/test_process.py and tests/sim/test_machines.py.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Hashable, Mapping
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING

from vcproxy.bus.mailbox.datagram_mailbox import DatagramMailbox
from vcproxy.bus.mailbox.letter import Letter
from vcproxy.bus.mailbox.mailbox import GivenUp
from vcproxy.bus.mailbox.peer import LOCALHOST, Peer, show_peer
from vcproxy.bus.mailbox.profile import WINK, Profile
from vcproxy.drivers.sim import NetworkFaults, Simulation
from vcproxy.drivers.sim.process import SimProcess
from vcproxy.drivers.sim.processes import ProcessFaults
from vcproxy.engine.continuation import Continuation
from vcproxy.engine.mutex import Mutex
from vcproxy.engine.sources.child_process import Launch
from vcproxy.engine.sources.signals import Signal
from vcproxy.supervise.invocation import Invocation
from vcproxy.supervise.process import Process
from vcproxy.supervise.server import MachineServer
from vcproxy.supervise.server_request import SERVER_PORT
from vcproxy.testing.simulated_bus import SimulatedBus

if TYPE_CHECKING:
    from vcproxy.engine.engine import Engine

DIRECTORY = "/machines"
"""The served directory."""


class SimulatedMachines:
    """A machine server at 127.0.0.1:42000, the programs below its directory, and one client.

    A run is repeated by its seed. An exception in a machine's code is raised by `run`, which may be
    called again afterwards: the machine then ends with `errored`. Other failures of a machine, as a
    message that no state receives, are not raised: they are in `log` and `statuses`.
    """

    def __init__(
        self,
        programs: Mapping[str, type[Process]],
        *,
        seed: int = 0,
        faults: NetworkFaults | None = None,
        process_faults: ProcessFaults | None = None,
    ) -> None:
        """`programs`: the classes by their path below the directory, as `family/Parent`."""
        self.simulation = Simulation(seed, faults, process_faults=process_faults)
        self.bus = SimulatedBus(self.simulation)
        """Sends messages to methods declared with `on_message`; `name`: that of a machine."""
        self.run = self.simulation.run
        self.elapse = self.simulation.elapse
        self.processes: dict[str, SimProcess] = {}
        """The last process of each name."""
        self.machines: dict[str, Process] = {}
        """The last machine of each name."""
        self.statuses: list[tuple[str, int]] = []
        """Names and exit statuses of the machines that have ended by themselves."""
        self.unfinished: dict[int, Process] = {}
        """By pid the machines that have not ended by themselves: they run, or were killed."""
        for path, kind in programs.items():
            self.replace(path, kind)
        engine = self.simulation.driver("server").engine
        mutex = Mutex()
        self.server = MachineServer(engine, mutex, _Files(), (LOCALHOST, SERVER_PORT))
        with mutex.hold(engine):
            self.server.start()
        self.client = self.peer("client")

    def __enter__(self) -> SimulatedMachines:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.simulation.__exit__(kind, error, traceback)

    @property
    def log(self) -> list[str]:
        """The log lines of the server and of all machines, in order."""
        return [text for _, _, text in self.simulation.log]

    @property
    def running(self) -> list[str]:
        """The names of the machines whose processes have not ended."""
        return [process.argv[1] for process in self.simulation.processes.running.values()]

    def peer(self, name: str, address: Peer = (LOCALHOST, 0), profile: Profile = WINK) -> TestPeer:
        """Return a further peer, on an engine of its own."""
        return TestPeer(self.simulation.driver(name).engine, address, profile)

    def start(self, name: str, *arguments: str, port: int = 0) -> Peer:
        """Have the client start a machine; return its address when it has sent `started`."""
        before = len(self.client.letters)
        self.client.send(self.server.address, " ".join(("start", name, f":{port}", *arguments)))
        started: list[Peer] = []

        def answered() -> bool:
            for letter in self.client.letters[before:]:
                if letter.words[:1] == (name,):
                    assert letter.verb == "started", letter.text
                    started.append(letter.sender)
            return bool(started)

        self.run(until=answered)
        return started[0]

    def replace(self, path: str, kind: type[Process]) -> None:
        """Replace the program at a path; machines that run are unchanged."""
        self.simulation.programs[f"{DIRECTORY}/{path}"] = partial(self._program, kind)

    def launch(self, name: str, *, parent: Peer, port: int = 0) -> SimProcess:
        """Launch a machine's program as if from a shell, without the server; return its process."""
        path = f"{DIRECTORY}/{name.partition('#')[0]}"
        argv = Invocation(path, name, (LOCALHOST, port), parent).argv()
        processes = self.simulation.processes
        process = processes.launch(Launch(path, argv), _Shell())
        processes.start(process)
        return process

    def stop(self) -> None:
        """Stop the server, which ends all machines in order."""
        server = self.server
        server.engine.schedule(server, Signal, Signal(signal.SIGTERM))

    def _program(self, kind: type[Process], process: SimProcess) -> None:
        engine = process.driver(process.argv[1]).engine
        invocation = Invocation.parse(process.argv)

        def ended(status: int) -> None:
            self.statuses.append((invocation.name, status))
            del self.unfinished[process.pid]
            process.exit(status)

        machine = kind(engine, invocation, process.pid, ended)
        self.unfinished[process.pid] = machine
        self.processes[invocation.name] = process
        self.machines[invocation.name] = machine
        with machine.mutex.hold(engine):
            machine.begin_life()


class TestPeer(Continuation):
    """A peer that keeps what it receives, and sends what a test has it send."""

    __test__ = False  # pytest takes classes of this name for tests

    def __init__(self, engine: Engine, address: Peer, profile: Profile) -> None:
        super().__init__(engine, Mutex())
        self.letters: list[Letter] = []
        self.given_up: list[str] = []
        """The texts of messages that were not acknowledged."""
        self.on_letter: Callable[[Letter], object] | None = None
        """Called with each letter."""
        with self.mutex.hold(engine):
            self.mailbox = DatagramMailbox(self, address, profile)

    @property
    def texts(self) -> list[str]:
        """The texts of the letters."""
        return [letter.text for letter in self.letters]

    @property
    def address(self) -> Peer:
        """Its address, once it is bound."""
        return self.mailbox.address

    def send(self, to: Peer, text: str) -> int:
        """Send a message; return its number."""
        with self.mutex.hold(self.engine):
            return self.mailbox.send(to, text)

    def close(self) -> None:
        """Close its socket: its messages are not sent again, and it acknowledges none."""
        with self.mutex.hold(self.engine):
            self.mailbox.close()

    def handle_event(self, key: Hashable, data: object) -> None:
        """Keep it."""
        if isinstance(data, Letter):
            self.letters.append(data)
            if self.on_letter is not None:
                self.on_letter(data)
        elif isinstance(data, GivenUp):
            self.given_up.append(f"{show_peer(data.to)} {data.text}")


class _Shell:
    """What a process reports to that no engine has launched."""

    def report(self, event_of: Callable[[str], object]) -> None:
        """Ignore it."""


class _Files:
    """ServedFiles that finds every path: the simulation has the programs."""

    def find(self, path: str, log_name: str) -> tuple[str, str, str]:
        return f"{DIRECTORY}/{path}", "", ""

    def shown(self, path: str) -> str:
        return f"{DIRECTORY}/{path}"

    def environment(self) -> dict[str, str]:
        return {}

    def sync(self, logs: tuple[str, ...]) -> str:
        return ""
