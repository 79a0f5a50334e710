"""ServerBench: a machine server on an engine, whose driver, clients and machines are the test."""

from __future__ import annotations

from collections.abc import Callable

from tests.engine.world import World
from vcproxy.bus.mailbox.codec import NUMBERED, Codec
from vcproxy.bus.mailbox.peer import Peer
from vcproxy.engine.commands import Call, Command, OpenSource, SendDatagram, SignalChild, Stop
from vcproxy.engine.mutex import Mutex
from vcproxy.engine.sources.child_process import ChildProcess, Launch, Launched
from vcproxy.engine.sources.datagrams import Arrived, Bound, Datagrams
from vcproxy.engine.sources.signals import Signal, Signals
from vcproxy.engine.sources.source import Source
from vcproxy.supervise.server import MachineServer

SERVER, CLIENT = ("127.0.0.1", 42000), ("127.0.0.1", 50498)
NOON = 1_796_040_000
"""The time of day, 2026-11-30 12:00:00 UTC."""


class Files:
    """Files of a server that need no file system."""

    def __init__(self) -> None:
        self.problems: dict[str, tuple[str, str, str]] = {}
        """What is found for some paths; other paths are programs."""
        self.logs = False
        self.synced: list[tuple[str, ...]] = []
        self.disk = ""
        """The problem that the disk has."""

    def find(self, path: str, log_name: str) -> tuple[str, str, str]:
        """See ServedFiles."""
        log = f"/log/{log_name}" if self.logs else ""
        return self.problems.get(path, (f"/srv/{path}", log, ""))

    def shown(self, path: str) -> str:
        """See ServedFiles."""
        return f"machines/{path}"

    def environment(self) -> dict[str, str]:
        """See ServedFiles."""
        return {"PATH": "/venv/bin"}

    def sync(self, logs: tuple[str, ...]) -> str:
        """See ServedFiles."""
        self.synced.append(logs)
        return self.disk


class ServerBench:
    """The server, and what it does. Every message that it sends is acknowledged at once."""

    def __init__(
        self,
        codec: Codec = NUMBERED,
        allows: Callable[[Peer], bool] | None = None,
        *,
        bound: bool = True,
    ) -> None:
        self.world = World()
        self.world.engine.time_of_day(NOON)
        self.files = Files()
        self.codec = codec
        mutex = Mutex()
        self.server = MachineServer(
            self.world.engine, mutex, self.files, ("127.0.0.1", 42000), codec=codec, allows=allows
        )
        self.children: dict[str, ChildProcess] = {}
        """The processes by the names of their machines, the latest of each."""
        self.launches: list[Launch] = []
        self.signals: list[tuple[str, int]] = []
        """Signals to machines: name and number."""
        self.sent: list[tuple[Peer, str]] = []
        """Messages of the server, without acknowledgements."""
        self.acknowledged: list[tuple[Peer, int]] = []
        self.acknowledges = True
        """Whether peers acknowledge the server's messages."""
        self.stopped = False
        self.sources: dict[type[Source], Source] = {}
        self._numbers: dict[Peer, int] = {}
        self._pids = 1000
        with mutex.hold(self.world.engine):
            self.server.start()
        self.settle()
        if bound:
            self.happened(self.sources[Datagrams], Bound("", SERVER))

    # -- what comes in -----------------------------------------------------------------------

    def settle(self, passed: float = 0.0) -> None:
        """Run until nothing is left to do."""
        self.world.settle(passed)
        self._settle_due()
        while self.world.commands:
            commands = list(self.world.commands)
            self.world.commands.clear()
            for command in commands:
                self._perform(command)
            self._settle_due()

    def _settle_due(self) -> None:
        """Run what is due now, such as a timer that was set for now."""
        self.world.settle()
        while (due := self.world.engine.next_deadline()) is not None and due <= self.world.now:
            self.world.settle()

    def pass_s(self, seconds: int) -> None:
        """Let seconds pass, one after the other."""
        for _ in range(seconds):
            self.settle(1.0)

    def happened(self, source: Source, event: object) -> None:
        """Something happens at a source."""
        self.world.engine.happened(source, event)
        self.settle()

    def arrives(self, text: str, sender: Peer = CLIENT) -> None:
        """A message arrives, with the sender's next number."""
        number = self._numbers.get(sender, 0)
        self._numbers[sender] = number + 1
        self.raw(self.codec.encode(number, text.encode("utf-8", "surrogateescape")), sender)

    def new_process(self, sender: Peer) -> None:
        """Another process has this address: its numbers begin."""
        self._numbers.pop(sender, None)

    def raw(self, datagram: bytes, sender: Peer = CLIENT) -> None:
        """A datagram arrives."""
        self.happened(self.sources[Datagrams], Arrived("", datagram, sender))

    def signal(self, number: int) -> None:
        """The server gets a signal."""
        self.happened(self.sources[Signals], Signal(number))

    def launched(self, name: str) -> int:
        """The latest process of a machine runs; return its pid."""
        self._pids += 1
        self.happened(self.children[name], Launched(name, self._pids))
        return self._pids

    def running(self, name: str, port: int, asker: Peer = CLIENT, where: str = ":0") -> int:
        """A machine is started and registers itself at a port; return its pid."""
        self.arrives(f"start {name} {where}", asker)
        pid = self.launched(name)
        self.arrives(f"register {name} {pid}", (SERVER[0], port))
        return pid

    # -- what comes out ----------------------------------------------------------------------

    def _perform(self, command: Command) -> None:
        match command:
            case OpenSource(ChildProcess() as child):
                self.children[child.name] = child
                self.launches.append(child.launch)
            case OpenSource(source):
                self.sources[type(source)] = source
            case SignalChild(child, number):
                self.signals.append((child.name, number))
            case SendDatagram(_, data, to):
                self._sent(data, to)
            case Call(number, fn, args):
                self.world.engine.called(number, fn(*args))
            case Stop():
                self.stopped = True

    def _sent(self, data: bytes, to: Peer) -> None:
        number, message = self.codec.decode(data)
        if message == b"ack":
            self.acknowledged.append((to, number))
            return
        self.sent.append((to, message.decode("utf-8", "surrogateescape")))
        if self.codec.acknowledged and self.acknowledges:
            self.raw(number.to_bytes(8, "little") + b"ack", to)

    def take_sent(self) -> list[tuple[Peer, str]]:
        """Return and remove the messages that the server has sent."""
        sent, self.sent = self.sent, []
        return sent

    def take_log(self) -> list[str]:
        """Return and remove the log lines."""
        lines = list(self.world.log)
        self.world.log.clear()
        return lines

    def listed(self) -> list[str]:
        """Ask for the list; return its lines after the first."""
        self.arrives("list", ("127.0.0.1", 50000))
        ((_, text),) = self.take_sent()
        head, *lines = text.splitlines()
        assert head == "Port,PID,Machine"
        return lines
