"""The options of a relay: where what it relays comes from, where it goes, and who may be slow."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Annotated, Literal

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    PlainSerializer,
    PlainValidator,
    WithJsonSchema,
)

from vcproxy.config import nats
from vcproxy.config.errors import KeyProblem, OptionsError
from vcproxy.config.positions import KeyPath
from vcproxy.config.schema import UpstreamTls
from vcproxy.config.values import Duration, Endpoint, Size
from vcproxy.engine.address import Address
from vcproxy.engine.units import show_size, size
from vcproxy.framing.options import FramingOptions
from vcproxy.tunnels.history import NO_HISTORY, History, Join
from vcproxy.tunnels.lag import Lag, OnLag
from vcproxy.tunnels.one_way_multi import Ends

RelayFraming = Literal[
    "none", "datagram", "lines", "json-lines", "delimiter", "length-prefix", "netstring", "fixed"
]
DATAGRAMS = "datagram"
FIRST_MESSAGE_S = 10.0
"""A producer connects because it has something to send: one that is there has begun by then."""
BYTES = "none"


def _reachable(address: Address) -> Address:
    if address.scheme == "stdio":
        raise ValueError("stdio: is one connection, and it is a listener's")
    if address.scheme != "unix" and not address.port:
        raise ValueError(f'"{address}": needs a port above 0')
    return address


def _entrance(address: Address) -> Address:
    if address.scheme not in ("tcp", "tls", "unix"):
        raise ValueError(f'"{address}": nobody connects there: a sink there is one of targets')
    return address


def _listed(value: object) -> object:
    return tuple(value) if isinstance(value, list) else (value,)


def _as_target(value: object) -> object:
    return {"to": value} if isinstance(value, str) else value


def _history(value: object) -> History:
    if isinstance(value, str):
        return History(bytes=size(value))
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return History(messages=value)
    raise ValueError('must be a size in quotes, as "64KiB", or a number of messages, as 100')


Source = Annotated[Endpoint, AfterValidator(_reachable), AfterValidator(nats.source)]
Destination = Annotated[Endpoint, AfterValidator(_reachable), AfterValidator(nats.target)]

Remembered = Annotated[
    History,
    PlainValidator(_history),
    PlainSerializer(lambda told: told.messages or show_size(told.bytes), when_used="json"),
    WithJsonSchema({"anyOf": [{"type": "string", "format": "size"}, {"type": "integer"}]}),
]


@dataclass(frozen=True)
class Target:
    """A sink that the relay connects to, and again when it is lost. A URI says the first key."""

    to: Destination
    """Where: tcp://, tls://, unix:, udp:// (one host or a group), nats://HOST/SUBJECT."""

    max_lag: Annotated[Size, Field(ge=1)] | None = None
    """As for all, if left out."""

    on_lag: OnLag | None = None
    """As for all, if left out."""

    join: Join | None = None
    """As for all, if left out."""

    required: bool = False
    """Whether the relay ends without it: with ends = "any_required"."""


@dataclass(frozen=True)
class RelayOptions(FramingOptions):
    """Raises OptionsError, a ValueError, for what cannot be done, saying why."""

    framing: RelayFraming | None = None  # type: ignore[assignment]
    """What separates messages, which then come and go as wholes. "none": bytes, nobody looks at
    them. "datagram": each datagram, or message of NATS, is one. Left out: "datagram" where the
    source is udp:// or nats://, else "none"."""

    source: Source | None = None
    """Where the relay connects to and listens, again when it is lost or silent for the listener's
    inactivity: tcp://, tls://, unix:, nats://HOST/SUBJECT; or what it hears: udp://HOST:PORT, or a
    group, as udp://239.1.1.1:5000?interface=127.0.0.1. Left out: producers connect to the
    listener's `bind`, which is left out otherwise."""

    producers: Literal["exclusive", "interleave", "replace"] = "exclusive"
    """What becomes of a second producer: it is refused, or both are heard, one message of either at
    a time, or it takes the place of the first."""

    first_message: Duration = FIRST_MESSAGE_S
    """With producers = "exclusive": how long a producer that has sent no message yet, or without a
    framing no byte, keeps others away. After that the next one takes its place. "0s": for ever."""

    subscribers: Annotated[
        tuple[Annotated[Endpoint, AfterValidator(_entrance)], ...], BeforeValidator(_listed)
    ] = ()
    """Where sinks connect to and listen: an address or a list."""

    subscriber_data: Literal["ignore", "close"] = "ignore"
    """What becomes of a subscriber that says something: it is counted, or the subscriber closed."""

    targets: Annotated[
        tuple[Annotated[Target, BeforeValidator(_as_target)], ...], BeforeValidator(_listed)
    ] = ()
    """Sinks that the relay connects to: addresses, or tables with their own policy."""

    max_lag: Annotated[Size, Field(ge=1)] = 1 << 20
    """How far a sink may fall behind: what waits for it is kept for so long. 1 MiB is a second of
    8 Mbit/s."""

    on_lag: OnLag = "disconnect"
    """What becomes of a sink that is further behind: all wait for it, or messages are dropped,
    those that have waited longest or those that come, or it is disconnected."""

    history: Remembered = NO_HISTORY
    """What is kept for those who join later: a size, as "64KiB", or a number of messages."""

    join: Join = "tail"
    """Where a sink begins: at the oldest of the history, or at the "head", with what comes next."""

    ends: Ends = "never"
    """When sinks that leave end it all, and it begins anew: with the last one, with any required
    one, or never."""

    tls: UpstreamTls = field(default_factory=UpstreamTls)
    """How a source and targets on tls:// are verified."""

    def __post_init__(self) -> None:
        if self.framing is None:
            heard = self.source is not None and self.source.message_oriented
            object.__setattr__(self, "framing", DATAGRAMS if heard else BYTES)
        super().__post_init__()
        faults = tuple(KeyProblem(path, message) for path, message in self._faults())
        if faults:
            raise OptionsError(*faults)

    def _faults(self) -> Iterator[tuple[KeyPath, str]]:
        framing, source = f'framing = "{self.framing}"', self.source
        if not self.subscribers and not self.targets:
            yield ("subscribers",), "is missing, and so is targets: nobody would get anything"
        if source is not None and source.message_oriented and self.framing != DATAGRAMS:
            why = f"{source} brings whole messages: leave framing out, {framing} is for streams"
            yield ("framing",), why
        if self.framing == DATAGRAMS and (source is None or not source.message_oriented):
            why = f"{framing} is for a source of udp:// or nats://: a stream has no datagrams"
            yield ("framing",), why
        if source is not None and self.producers != "exclusive":
            why = f'"{self.producers}" is for those who connect: here is a source'
            yield ("producers",), why
        if self.first_message != FIRST_MESSAGE_S and not self.exclusive:
            why = 'is of no use: it is for those who connect, with producers = "exclusive"'
            yield ("first_message",), why
        for index, target in enumerate(self.targets):
            yield from ((("targets", index, *path), why) for path, why in self._unfit(target))
        if self.ends == "any_required" and not any(target.required for target in self.targets):
            yield ("ends",), '"any_required" needs a target with required = true'
        if self.framing != BYTES:
            return
        if self.lag.drops:
            yield ("on_lag",), self._undroppable(self.lag)
        if self.history.messages:
            why = f'counts messages, and {framing} has none: write a size, as "64KiB"'
            yield ("history",), why
        if self.producers == "interleave":
            yield ("producers",), f'"interleave" needs messages, and {framing} has none'

    def _unfit(self, target: Target) -> Iterator[tuple[KeyPath, str]]:
        if target.to.message_oriented and self.framing == BYTES:
            why = f'{target.to} takes messages, and framing = "none" has none: say how to find them'
            yield ("to",), why
        if target.required and self.ends != "any_required":
            yield ("required",), f'is of no use: it is for ends = "any_required", not "{self.ends}"'
        if target.on_lag is not None and self.framing == BYTES and self.lag_of(target).drops:
            yield ("on_lag",), self._undroppable(self.lag_of(target))

    def _undroppable(self, lag: Lag) -> str:
        return (
            f'"{lag.then}" drops messages, and framing = "none" has none: '
            'only "block" and "disconnect" are possible without'
        )

    @property
    def notes(self) -> dict[str, str]:
        """What "block" cannot do, by the option that says it: not every source waits."""
        source = self.source
        lags = [*([self.lag] if self.subscribers else []), *map(self.lag_of, self.targets)]
        if (
            source is None
            or not source.message_oriented
            or all(lag.then != "block" for lag in lags)
        ):
            return {}
        if source.scheme != "nats":
            lost = "is dropped by the kernel, and not counted"
        elif source.parameter("durable"):
            return {}
        else:
            lost = (
                "is dropped beyond what the NATS client keeps, logged, and counted in the status "
                'as "missed": a durable consumer (?stream=NAME&durable=NAME) waits instead'
            )
        return {"on_lag": f'"block" does not slow {source} down: what comes meanwhile {lost}'}

    @property
    def exclusive(self) -> bool:
        """Whether a producer that connects keeps others away."""
        return self.source is None and self.producers == "exclusive"

    @property
    def streams(self) -> bool:
        """Whether messages are to be found in what producers send."""
        return self.framing not in (BYTES, DATAGRAMS)

    @cached_property
    def lag(self) -> Lag:
        """What a sink is granted that has nothing of its own."""
        return Lag(self.max_lag, self.on_lag)

    def lag_of(self, target: Target) -> Lag:
        """What a target is granted."""
        return Lag(target.max_lag or self.max_lag, target.on_lag or self.on_lag)

    @cached_property
    def kept(self) -> History:
        """The history, with a bound in bytes also where it counts messages."""
        messages = self.history.messages
        return replace(self.history, bytes=messages * self.limit) if messages else self.history
