"""Rehearsal: a recorded conversation, held in the simulation, so that a test can repeat it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import groupby, takewhile
from typing import Literal, NamedTuple

from vcproxy.config.loader import Configuration
from vcproxy.config.schema import ListenerTable, TimeoutsTable
from vcproxy.drivers.sim import Peer, Stuck
from vcproxy.replay.format.entries import CalledEntry, EstablishedEntry
from vcproxy.replay.format.peer_scripts import Handshake
from vcproxy.replay.format.values import RecordType
from vcproxy.replay.log.conversations import Happening
from vcproxy.testing import SimulatedProxy

TICK_S = 0.001
"""How long what a peer says is given to come through: it takes no time in a simulation."""

LARGEST = 8 << 20
"""Bytes that are said in a test: more is no text to be read."""


class Unfit(Exception):
    """A conversation cannot be a test; the text says why."""


class Line(NamedTuple):
    """A line of a transcript."""

    who: str
    verb: Literal["says", "ends", "breaks", "hears", "hears the end", "is reset", "meets", "waits"]
    data: bytes = b""
    seconds: float = 0.0


@dataclass
class Scene:
    """What was recorded of a conversation: what its peers did, and what they heard."""

    acts: list[tuple[float, Line | None]] = field(default_factory=list)
    """What the peers did, and when; None where one has heard something in between."""
    heard: dict[str, bytearray] = field(default_factory=dict)
    broken: set[str] = field(default_factory=set)
    """Those that broke: what they were sent last, perhaps they never heard."""
    over: dict[str, str] = field(default_factory=dict)
    """Those that heard the end, and whether it was an end or a reset."""
    targets: dict[str, str] = field(default_factory=dict)
    """Where each server was, if there was a connection."""
    refusing: dict[str, None] = field(default_factory=dict)
    calls: dict[int, object] = field(default_factory=dict)
    """What calls have answered, by their numbers."""
    said: int = 0
    """Bytes, by all of them."""
    met: int = 0
    """How often a server was connected."""
    number: int = 0
    """Of the conversation."""
    last: float = 0.0
    door: str = ""
    """The listener, as it was named."""
    client: str = ""
    began: float = 0.0
    goes_on: bool = False
    """Whether the log ends before it does."""
    handshake: Handshake | None = None
    """The client's, if it came by TLS."""
    shares: bool = False
    """Whether a server's connection was kept, before or after: for a test each is a new one, and it
    does not matter to which server."""
    reused: set[str] = field(default_factory=set)
    """The servers whose connections had been kept."""
    names: dict[str, str] = field(default_factory=dict)
    """What those who were told of are called here: a server, each time that it was connected."""

    @classmethod
    def of(cls, happenings: Iterable[Happening]) -> Scene:
        """Take down a conversation. Raises Unfit."""
        scene = cls()
        asked: dict[str, str] = {}
        for each in happenings:
            talk = each.conversation
            if talk.message_oriented:
                raise Unfit("it is of datagrams, and a test is written of streams only")
            scene.last = each.told.at
            scene._take(each, asked)
            if scene.said > LARGEST:
                raise Unfit(f"more than {LARGEST >> 20} MiB are said in it")
            scene.number = talk.number
            scene.door, scene.client, scene.began = talk.listener, talk.client, talk.began
            scene.goes_on = not talk.end
        scene._forget_stale()
        if not scene.client and not scene.door:
            raise Unfit("it has no client: a program of the proxy's began it")
        return scene

    def _forget_stale(self) -> None:
        """Leave out connections that had been kept and ended before they were of use: the request
        went to another one then, and for a test there are new ones only."""
        said = {line.who for _, line in self.acts if line is not None and line.verb == "says"}
        ended = {line.who for _, line in self.acts if line is not None and line.verb != "says"}
        for who in (self.reused & ended) - said:
            self.acts = [(at, line) for at, line in self.acts if line is None or line.who != who]
            for known in (self.heard, self.over, self.targets):
                known.pop(who, None)

    def named(
        self, addresses: list[str], servers: tuple[str, ...], names: dict[str, str]
    ) -> tuple[str, ...]:
        """Name the servers of an upstream; return the names of those that a test needs."""
        if self.shares and not self.refusing:
            names |= dict.fromkeys(addresses, servers[0])
            return servers[:1]
        names |= dict(zip(addresses, servers, strict=True))
        return servers

    def _take(self, each: Happening, asked: dict[str, str]) -> None:
        if each.verb in ("asks", "reused"):
            self.met += 1
            self.names[each.who] = f"server{self.met}" if self.met > 1 else "server"
        who, at = self.names.get(each.who, each.who), each.told.at
        entry = each.told.entry
        match each.verb:
            case "secures" if who == "client" and isinstance(entry, EstablishedEntry):
                self.handshake = Handshake(*entry[1:])
            case "kept":
                self.shares = True
            case "reused":
                self.shares = True
                self.reused.add(who)
                self.targets[who] = each.text
            case "says":
                assert each.data is not None
                self.said += each.size
                last = self.acts[-1][1] if self.acts else None
                if last is not None and (last.who, last.verb) == (who, "says"):
                    self.acts[-1] = self.acts[-1][0], last._replace(data=last.data + each.data)
                else:
                    self.acts.append((at, Line(who, "says", each.data)))
            case "ends":
                self.acts.append((at, Line(who, "ends")))
            case "breaks":
                self.acts.append((at, Line(who, "breaks")))
                self.broken.add(who)
            case "hears":
                if each.data is None:
                    raise Unfit("the log does not have what was sent: it is redacted")
                self.heard.setdefault(who, bytearray()).extend(each.data)
                self.acts.append((at, None))
            case "hears the end" | "closed":
                self.over.setdefault(who, "end")
                self.acts.append((at, None))
            case "reset":
                self.over[who] = "reset"
                self.acts.append((at, None))
            case "spreads":
                raise Unfit("what was said in it went to other conversations, too")
            case "asks":
                asked[who] = each.text
            case "connected":
                self.targets[who] = asked[who]
                self.acts.append((at, None))
            case "refused":
                self.refusing[asked[who]] = None
            case "calls":
                self.calls[int(each.text.split()[0])] = LookupError("it has not answered")
            case "answered":
                assert isinstance(entry, CalledEntry)
                value = entry.value.made() if isinstance(entry.value, RecordType) else entry.value
                self.calls[entry.number] = entry.error.raised() if entry.error else value


class Setting(NamedTuple):
    """What a SimulatedProxy is given, beside its plugin."""

    entry: ListenerTable
    option: str
    """Of the address that the client came in at; empty: the listener's own."""
    servers: tuple[str, ...]
    """Names of the upstream's servers; none: there is no upstream."""
    upstreams: dict[str, tuple[str, ...]]
    """Those of the servers of other upstreams, which the options name."""
    names: dict[str, str]
    """The name of each target."""
    refusing: tuple[str, ...]
    timed: bool
    """Whether time passes as it did."""
    here: str
    """The client's IP address, if it has its own."""
    token: str
    """That of the engine."""
    handshake: Handshake | None

    @classmethod
    def of(
        cls, scene: Scene, configuration: Configuration, timed: bool, here: str, token: str
    ) -> Setting:
        """The setting of a scene. Raises Unfit."""
        settings = configuration.settings
        for entry in settings.listener:
            if scene.door == entry.name or scene.door.startswith(f"{entry.name}."):
                break
        else:
            raise Unfit(f"its configuration has no listener {scene.door}")
        both = scene.refusing.keys() & set(scene.targets.values())
        if both:
            raise Unfit(f"{min(both)} has both refused and answered")
        servers: tuple[str, ...] = ()
        upstreams: dict[str, tuple[str, ...]] = {}
        names = {str(target): str(target) for target in (*scene.targets.values(), *scene.refusing)}
        if entry.upstream:
            addresses = list(map(str, settings.upstream[entry.upstream].addresses))
            tried = [target for target in names if target in addresses]
            start = addresses.index(_first(scene, tried)) if tried else 0
            addresses = addresses[start:] + addresses[:start]
            servers = tuple(
                f"server{n}" if n > 1 else "server" for n in range(1, len(addresses) + 1)
            )
            servers = scene.named(addresses, servers, names)
        for name in dict.fromkeys(configuration.plugins[entry.name].upstreams.values()):
            if name is not None and name == entry.upstream:
                upstreams[name] = servers
            elif name is not None:
                addresses = list(map(str, settings.upstream[name].addresses))
                own = tuple(f"{name}{n}" if n > 1 else name for n in range(1, len(addresses) + 1))
                upstreams[name] = scene.named(addresses, own, names)
        refusing = tuple(names[target] for target in scene.refusing)
        option = scene.door[len(entry.name) + 1 :]
        handshake = scene.handshake
        return cls(
            entry, option, servers, upstreams, names, refusing, timed, here, token, handshake
        )

    def keywords(self) -> dict[str, object]:
        """The arguments of SimulatedProxy that are not as usual."""
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
        if self.here:  # it matters who the proxy's client is: so it may who the proxy is
            given |= {"name": self.entry.name, "token": self.token}
        if self.handshake is not None:
            given["handshake"] = self.handshake
        return given


def _first(scene: Scene, tried: list[str]) -> str:
    """The server that was tried first: those that refuse come before those that do not."""
    return next((target for target in scene.refusing if target in tried), tried[0])


def rehearse(scene: Scene, setting: Setting, configuration: Configuration) -> list[Line]:
    """Hold a conversation in the simulation; return how it went. Raises Unfit if not as it was."""
    plugin = configuration.plugins[setting.entry.name]
    answers = list(scene.calls.values())
    with SimulatedProxy(
        plugin.cls,
        options=plugin.options,
        answers=answers,
        filters=[each.cls(each.options) for each in plugin.filters],
        **setting.keywords(),  # type: ignore[arg-type]
    ) as proxy:
        stage = _Stage(scene, setting, proxy)
        try:
            transcript = list(stage.play())
        except Unfit:
            raise
        except Stuck as error:
            raise Unfit(f"it gets stuck: {error}") from None
        except Exception as error:  # the plugin's
            raise Unfit(f"the plugin fails in it: {type(error).__name__}: {error}") from None
    _compare(scene, stage)
    return transcript


class _Stage:
    """Where a scene is played."""

    def __init__(self, scene: Scene, setting: Setting, proxy: SimulatedProxy) -> None:
        self._scene = scene
        self._setting = setting
        self._proxy = proxy
        self.peers: dict[str, Peer] = {}
        self.heard: dict[str, bytearray] = {}
        self.over: dict[str, str] = {}

    def play(self) -> Iterator[Line]:
        """Have the peers do what they did; yield all that happens."""
        setting = self._setting
        self.peers["client"] = self._proxy.client(setting.option, here=setting.here)
        at = self._scene.began
        yield from self._look()
        for idle, group in groupby(self._scene.acts, lambda act: act[1] is None):
            if idle:
                continue
            for when, line in group:
                assert line is not None
                yield from self._wait(when - at)
                at = max(at, when)
                if line.who not in self.peers:
                    raise Unfit(f"by itself it goes otherwise: nobody connects to the {line.who}")
                yield line
                self._do(line)
            yield from self._look()
        yield from self._wait(self._scene.last - at)

    def _wait(self, seconds: float) -> Iterator[Line]:
        seconds = round(seconds, 3)
        if self._setting.timed and seconds > TICK_S:
            yield Line("", "waits", seconds=seconds)
            yield from self._look(seconds)

    def _do(self, line: Line) -> None:
        peer = self.peers[line.who]
        match line.verb:
            case "says":
                peer.send(line.data)
            case "ends":
                peer.end()
            case "breaks":
                peer.reset()

    def _look(self, seconds: float = TICK_S) -> Iterator[Line]:
        """Let time pass; yield what the peers hear."""
        proxy = self._proxy
        proxy.elapse(seconds)
        met = [self._name(who) for who in self.peers if who != "client"]
        for who in self._scene.targets:
            name = self._name(who)
            if who not in self.peers and proxy.connections(name) > met.count(name):
                self.peers[who] = proxy.server(name)
                met.append(name)
                yield Line(who, "meets", name.encode())
        for who, peer in self.peers.items():
            if peer.received:
                data = bytes(peer.received)
                peer.received.clear()
                self.heard.setdefault(who, bytearray()).extend(data)
                yield Line(who, "hears", data)
            if (peer.ended or peer.reset_seen) and who not in self.over:
                self.over[who] = "reset" if peer.reset_seen else "end"
                yield Line(who, "is reset" if peer.reset_seen else "hears the end")

    def _name(self, who: str) -> str:
        return self._setting.names[self._scene.targets[who]]


def _compare(scene: Scene, stage: _Stage) -> None:
    """Raise Unfit unless each peer heard in the simulation what it had heard then."""
    for who in dict.fromkeys([*scene.heard, *stage.heard]):
        then, now = bytes(scene.heard.get(who, b"")), bytes(stage.heard.get(who, b""))
        lost = who in scene.broken or scene.goes_on
        if not (then == now or (lost and now.startswith(then))):
            same = takewhile(lambda pair: pair[0] == pair[1], zip(then, now, strict=False))
            at = sum(1 for _ in same)
            raise Unfit(
                f"by itself it goes otherwise: from byte {at} on the {who} hears "
                f"{now[at : at + 40]!r} in the simulation, and heard {then[at : at + 40]!r} then"
            )
    for who in scene.over:
        if who in stage.peers and who not in stage.over and who not in scene.broken:
            raise Unfit(f"by itself it goes otherwise: the {who} does not hear the end")
