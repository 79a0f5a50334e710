"""Repeat a recorded conversation in simulation; the transcript of the rerun becomes a test.

RerunSetup contains the arguments of the SimulatedProxy; `rerun` returns the transcript.
Tested in tests/replay/log/test_to_test.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby, takewhile
from typing import NamedTuple

from vcproxy.config.loader import Configuration
from vcproxy.config.tables.listener import ListenerTable, TimeoutsTable
from vcproxy.drivers.sim import Peer, Stuck
from vcproxy.replay.format.peer_history import Handshake
from vcproxy.testing import SimulatedProxy
from vcproxy.testing.recorded_conversation import (
    NotRepeatable,
    RecordedConversation,
    TranscriptLine,
)

TICK_S = 0.001
"""Simulated seconds for data to pass through the proxy; the simulated network needs no time."""


class RerunSetup(NamedTuple):
    """The arguments of a SimulatedProxy, except the plugin."""

    entry: ListenerTable
    option: str
    """The option with the address that the client used; empty: it was the listener's address."""
    servers: tuple[str, ...]
    """Names of the upstream's servers; empty: there is no upstream."""
    upstreams: dict[str, tuple[str, ...]]
    """The other upstreams, named by the options, with the names of their servers."""
    names: dict[str, str]
    """The name of the server in the test, by its address."""
    refusing: tuple[str, ...]
    timed: bool
    """Whether the rerun repeats the recorded pauses."""
    client_ip: str
    """The client's IP address; empty: any."""
    token: str
    """The token of the engine."""
    handshake: Handshake | None

    @classmethod
    def of(
        cls,
        recorded: RecordedConversation,
        configuration: Configuration,
        timed: bool,
        client_ip: str,
        token: str,
    ) -> RerunSetup:
        """Return the setup for a conversation. Raises NotRepeatable."""
        settings = configuration.settings
        listener = recorded.listener
        for entry in settings.listener:
            if listener == entry.name or listener.startswith(f"{entry.name}."):
                break
        else:
            raise NotRepeatable(f"the configuration has no listener {listener}")
        both = recorded.refusing.keys() & set(recorded.targets.values())
        if both:
            raise NotRepeatable(f"the server {min(both)} refused one connection and took another")
        servers: tuple[str, ...] = ()
        upstreams: dict[str, tuple[str, ...]] = {}
        targets = (*recorded.targets.values(), *recorded.refusing)
        names = {str(target): str(target) for target in targets}
        if entry.upstream:
            addresses = list(map(str, settings.upstream[entry.upstream].addresses))
            tried = [target for target in names if target in addresses]
            start = addresses.index(_first(recorded, tried)) if tried else 0
            addresses = addresses[start:] + addresses[:start]
            servers = tuple(
                f"server{n}" if n > 1 else "server" for n in range(1, len(addresses) + 1)
            )
            servers = recorded.named(addresses, servers, names)
        for name in dict.fromkeys(configuration.plugins[entry.name].upstreams.values()):
            if name is not None and name == entry.upstream:
                upstreams[name] = servers
            elif name is not None:
                addresses = list(map(str, settings.upstream[name].addresses))
                own = tuple(f"{name}{n}" if n > 1 else name for n in range(1, len(addresses) + 1))
                upstreams[name] = recorded.named(addresses, own, names)
        refusing = tuple(names[target] for target in recorded.refusing)
        option = listener[len(entry.name) + 1 :]
        handshake = recorded.handshake
        return cls(
            entry, option, servers, upstreams, names, refusing, timed, client_ip, token, handshake
        )

    def keywords(self) -> dict[str, object]:
        """Return the arguments of SimulatedProxy that differ from the defaults."""
        given: dict[str, object] = {}
        if self.servers != ("server",):
            given["servers"] = self.servers
        if self.upstreams:
            given["upstreams"] = self.upstreams
        if self.refusing:
            given["refusing"] = self.refusing
        usual = TimeoutsTable()
        for key in ("connect", "inactivity", "active"):
            seconds: float = getattr(self.entry.timeouts, key)
            if seconds and (self.timed or seconds != getattr(usual, key)):
                given[f"{key}_s"] = seconds
        if not self.entry.half_close:
            given["half_close"] = False
        # A plugin that uses the client's address may also use the proxy's name: give the recorded
        # ones.
        if self.client_ip:
            given |= {"name": self.entry.name, "token": self.token}
        if self.handshake is not None:
            given["handshake"] = self.handshake
        return given


def _first(recorded: RecordedConversation, tried: list[str]) -> str:
    """Return the server tried first: if any refused, the first of them."""
    return next((target for target in recorded.refusing if target in tried), tried[0])


def rerun(
    recorded: RecordedConversation, setup: RerunSetup, configuration: Configuration
) -> list[TranscriptLine]:
    """Repeat a conversation in simulation; return its transcript.

    Raises NotRepeatable if it differs from the recording.
    """
    plugin = configuration.plugins[setup.entry.name]
    answers = list(recorded.calls.values())
    with SimulatedProxy(
        plugin.cls,
        options=plugin.options,
        answers=answers,
        filters=[each.cls(each.options) for each in plugin.filters],
        **setup.keywords(),  # type: ignore[arg-type]
    ) as proxy:
        run = _Rerun(recorded, setup, proxy)
        try:
            transcript = list(run.run())
        except NotRepeatable:
            raise
        except Stuck as error:
            raise NotRepeatable(f"the simulation does not finish: {error}") from None
        except Exception as error:  # raised by the plugin
            what = f"{type(error).__name__}: {error}"
            raise NotRepeatable(f"the plugin fails in simulation: {what}") from None
    _compare(recorded, run)
    return transcript


DIFFERS = "the simulation of it alone differs from the recording"


class _Rerun:
    """One rerun of a conversation in simulation."""

    def __init__(
        self, recorded: RecordedConversation, setup: RerunSetup, proxy: SimulatedProxy
    ) -> None:
        self._recorded = recorded
        self._setup = setup
        self._proxy = proxy
        self.peers: dict[str, Peer] = {}
        self.received: dict[str, bytearray] = {}
        self.ended: dict[str, str] = {}

    def run(self) -> Iterator[TranscriptLine]:
        """Repeat the recorded actions of the peers; yield the lines of the transcript."""
        setup = self._setup
        self.peers["client"] = self._proxy.client(setup.option, client_ip=setup.client_ip)
        at = self._recorded.began
        yield from self._elapse()
        for idle, group in groupby(self._recorded.actions, lambda action: action[1] is None):
            if idle:
                continue
            for when, line in group:
                assert line is not None
                yield from self._wait(when - at)
                at = max(at, when)
                if line.peer not in self.peers:
                    raise NotRepeatable(f"{DIFFERS}: no connection to {line.peer}")
                yield line
                self._perform(line)
            yield from self._elapse()
        yield from self._wait(self._recorded.last - at)

    def _wait(self, seconds: float) -> Iterator[TranscriptLine]:
        seconds = round(seconds, 3)
        if self._setup.timed and seconds > TICK_S:
            yield TranscriptLine("", "waits", seconds=seconds)
            yield from self._elapse(seconds)

    def _perform(self, line: TranscriptLine) -> None:
        peer = self.peers[line.peer]
        match line.verb:
            case "sends":
                peer.send(line.data)
            case "ends":
                peer.end()
            case "resets":
                peer.reset()

    def _elapse(self, seconds: float = TICK_S) -> Iterator[TranscriptLine]:
        """Advance simulated time; yield lines for new connections, received data and ends."""
        proxy = self._proxy
        proxy.elapse(seconds)
        connected = [self._name(peer) for peer in self.peers if peer != "client"]
        for name in self._recorded.targets:
            server = self._name(name)
            if name not in self.peers and proxy.connections(server) > connected.count(server):
                self.peers[name] = proxy.server(server)
                connected.append(server)
                yield TranscriptLine(name, "is connected", server.encode())
        for name, peer in self.peers.items():
            if peer.received:
                data = bytes(peer.received)
                peer.received.clear()
                self.received.setdefault(name, bytearray()).extend(data)
                yield TranscriptLine(name, "receives", data)
            if (peer.ended or peer.reset_seen) and name not in self.ended:
                self.ended[name] = "reset" if peer.reset_seen else "end"
                yield TranscriptLine(name, "is reset" if peer.reset_seen else "receives end")

    def _name(self, peer: str) -> str:
        return self._setup.names[self._recorded.targets[peer]]


def _compare(recorded: RecordedConversation, run: _Rerun) -> None:
    """Raise NotRepeatable if a peer received something else in simulation than in the recording."""
    for peer in dict.fromkeys([*recorded.received, *run.received]):
        then, now = (bytes(each.received.get(peer, b"")) for each in (recorded, run))
        may_lack = peer in recorded.failed or recorded.open
        if not (then == now or (may_lack and now.startswith(then))):
            same = takewhile(lambda pair: pair[0] == pair[1], zip(then, now, strict=False))
            at = sum(1 for _ in same)
            raise NotRepeatable(
                f"{DIFFERS}: from byte {at} on, the {peer} receives {now[at : at + 40]!r}; "
                f"recorded: {then[at : at + 40]!r}"
            )
    for peer in recorded.ended:
        if peer in run.peers and peer not in run.ended and peer not in recorded.failed:
            raise NotRepeatable(f"{DIFFERS}: the connection of the {peer} is not closed")
