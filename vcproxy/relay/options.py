"""RelayOptions: the source, the sinks, the framing and the lag policies of a relay."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Annotated, ClassVar, Literal

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
from vcproxy.config.secret import Secret, whole_file
from vcproxy.config.tables.tls import UpstreamTls
from vcproxy.config.values import Duration, Endpoint, Size, no_permissions
from vcproxy.engine.address import LOCAL, STANDARD, Address
from vcproxy.engine.units import show_size, size
from vcproxy.framing.framing import Framing
from vcproxy.framing.options import FramingName, FramingOptions
from vcproxy.relay.http_options import is_media_type, stream_path
from vcproxy.tunnels.history import NO_HISTORY, History, Join
from vcproxy.tunnels.lag_policy import LagPolicy, OnLag
from vcproxy.tunnels.one_way_multi import Ends

RelayFraming = Literal["none", "datagram", FramingName]
BYTES, DATAGRAMS = "none", "datagram"
"""Framings without a decoder: a stream of bytes; each datagram is a message."""

FIRST_MESSAGE_S = 10.0
"""Seconds within which a live producer sends its first message."""

LEAST_SILENCE_S = 0.1
"""The shortest `silence`: a shorter one would be logged between any two messages."""


def _reachable(address: Address) -> Address:
    if address.scheme in STANDARD:
        raise ValueError(f"{address.scheme}: can only be the bind of a listener")
    if address.scheme not in LOCAL and not address.port:
        raise ValueError(f'"{address}": the port must be above 0')
    return address


def _source(address: Address) -> Address:
    # A Unix datagram socket is bound by the one who receives.
    return _reachable(address if address.scheme == "unixgram" else no_permissions(address))


def _target(address: Address) -> Address:
    return _reachable(no_permissions(address))


def _bindable(address: Address) -> Address:
    if address.scheme not in ("tcp", "tls", "unix"):
        raise ValueError(
            f'"{address}": subscribers connect by tcp, tls or unix; put it into targets'
        )
    return address


def _listed(value: object) -> object:
    return tuple(value) if isinstance(value, list) else (value,)


def _as_target(value: object) -> object:
    return {"to": value} if isinstance(value, str) else value


def _as_source(value: object) -> object:
    return {"address": value} if isinstance(value, str) else value


def _history(value: object) -> History:
    if isinstance(value, str):
        return History(bytes=size(value))
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return History(messages=value)
    raise ValueError(
        'must be a size in quotes such as "64KiB", or a number of messages such as 100'
    )


Origin = Annotated[Endpoint, AfterValidator(_source), AfterValidator(nats.source)]
Destination = Annotated[Endpoint, AfterValidator(_target), AfterValidator(nats.target)]

Subscribers = Annotated[
    tuple[Annotated[Endpoint, AfterValidator(_bindable)], ...], BeforeValidator(_listed)
]

HistoryOption = Annotated[
    History,
    PlainValidator(_history),
    PlainSerializer(lambda history: history.messages or show_size(history.bytes), when_used="json"),
    WithJsonSchema({"anyOf": [{"type": "string", "format": "size"}, {"type": "integer"}]}),
]


def _lost_while_blocked(source: Address) -> str:
    """Return what is done with messages of a source while a sink blocks the relay; "": they wait"""
    if not source.message_oriented or source.parameter("durable"):
        return ""
    if source.scheme != "nats":
        return "is dropped by the kernel, and not counted"
    return (
        "is dropped beyond what the NATS client keeps, logged, and counted in the status "
        'as "missed": a durable consumer (?stream=NAME&durable=NAME) waits instead'
    )


Opening = Annotated[Secret, BeforeValidator(whole_file)]
"""What a server is sent first: of a file, all lines with their ends."""


def _bytes(send: Secret | None) -> bytes:
    return b"" if send is None else send.reveal().encode()


@dataclass(frozen=True)
class RelaySource:
    """An address that the relay reads from. A string alone sets `address`."""

    address: Origin
    """tcp://, tls://, unix:, serial:, nats://HOST/SUBJECT, or udp:// (a port of this host, or a
    group)."""

    send: Opening | None = None
    """What is sent to it each time it is connected, for example a login; with its line end. It may
    be { file = "login.txt" }, which is sent as it is. It is shown nowhere."""

    @property
    def opening(self) -> bytes:
        """The bytes of `send`."""
        return _bytes(self.send)


@dataclass(frozen=True)
class Target:
    """A sink that the relay connects to, and reconnects to. A string alone sets `to`."""

    to: Destination
    """Its address: tcp://, tls://, unix:, udp:// (one host or a group), nats://HOST/SUBJECT."""

    max_lag: Annotated[Size, Field(ge=1)] | None = None
    """Default: the relay's `max_lag`."""

    on_lag: OnLag | None = None
    """Default: the relay's `on_lag`."""

    join: Join | None = None
    """Default: the relay's `join`."""

    required: bool = False
    """With ends = "any_required": whether the relay ends when this sink is lost."""

    send: Opening | None = None
    """What is sent to it before the messages, each time it is connected, as of a source."""

    @property
    def opening(self) -> bytes:
        """The bytes of `send`."""
        return _bytes(self.send)


@dataclass(frozen=True)
class RelayOptions(FramingOptions):
    """The options of a relay. Raises OptionsError, a ValueError, with every fault found."""

    own_framing: ClassVar[Framing | None] = None
    """For subclasses: a framing made in code. Then the option `framing` must be left out."""

    framing: RelayFraming | None = None  # type: ignore[assignment]
    """How messages are separated. "none": there are no messages, bytes are relayed as they come.
    "datagram": each datagram, or NATS message, is a message. Default: "datagram" if the source is
    udp:// or nats://, else "none"."""

    source: Annotated[
        tuple[Annotated[RelaySource, BeforeValidator(_as_source)], ...], BeforeValidator(_listed)
    ] = ()
    """The addresses that the relay reads from: one or a list, each an address or a table with what
    it is sent first. The relay connects to tcp://, tls://, unix:, serial: or nats://HOST/SUBJECT,
    and again when the connection is lost or silent for `timeouts.inactivity`. It receives datagrams
    on udp://HOST:PORT, or of a group, such as udp://239.1.1.1:5000?interface=127.0.0.1. Of several,
    all are relayed, a whole message at a time. Default: producers connect to the listener's `bind`.
    With a source there is a `bind` only with producers = "interleave"."""

    producers: Literal["exclusive", "interleave", "replace"] = "exclusive"
    """What is done with a second producer. "exclusive": it is refused. "interleave": both are
    relayed, a whole message of either at a time. "replace": the first is closed."""

    first_message: Duration = FIRST_MESSAGE_S
    """With producers = "exclusive": a producer that has sent no message within this time (without
    a framing, no byte) is replaced by the next one that connects. "0s": never."""

    silence: Duration = 0.0
    """After how long without any data of a producer or source a warning is logged; "0s": never."""

    subscribers: Subscribers = ()
    """Addresses that subscribers connect to: one or a list."""

    http_subscribers: Subscribers = ()
    """Addresses that HTTP clients subscribe at: one or a list. A GET of `http_path` gets the stream
    as a body that ends with the connection."""

    http_path: Annotated[str, AfterValidator(stream_path)] = "/"
    """The path of the stream, for `http_subscribers`; any query is accepted."""

    content_type: str = "application/octet-stream"
    """The Content-Type of the stream, for `http_subscribers`."""

    subscriber_data: Literal["ignore", "close"] = "ignore"
    """What is done with data from a subscriber. "ignore": it is counted and dropped. "close": the
    subscriber is closed."""

    targets: Annotated[
        tuple[Annotated[Target, BeforeValidator(_as_target)], ...], BeforeValidator(_listed)
    ] = ()
    """Sinks that the relay connects to: addresses, or tables with a lag policy of their own."""

    max_lag: Annotated[Size, Field(ge=1)] = 1 << 20
    """How far a sink may fall behind, in bytes that are kept for it. 1 MiB is one second of 8
    Mbit/s."""

    on_lag: OnLag = "disconnect"
    """What is done with a sink that is more than `max_lag` behind. "block": the source and all
    other sinks wait for it. "drop_oldest": its messages that have waited longest are dropped.
    "drop_newest": new messages are dropped for it. "disconnect": it is closed."""

    history: HistoryOption = NO_HISTORY
    """What is kept for sinks that join later: a size such as "64KiB", or a number of messages."""

    join: Join = "tail"
    """Where a sink begins. "tail": with the oldest data of the history. "head": with what comes
    next."""

    ends: Ends = "never"
    """When lost sinks end the relay: all connections are closed, and it starts again. "last": when
    the last sink is lost. "any_required": when any required target is lost. "never"."""

    tls: UpstreamTls = field(default_factory=UpstreamTls)
    """How a tls:// source and tls:// targets are verified."""

    def __post_init__(self) -> None:
        if self.framing is None and self.own_framing is None:
            datagrams = bool(self.source) and all(
                source.address.message_oriented for source in self.source
            )
            object.__setattr__(self, "framing", DATAGRAMS if datagrams else BYTES)
        super().__post_init__()
        faults = tuple(KeyProblem(path, message) for path, message in self._faults())
        if faults:
            raise OptionsError(*faults)

    def _faults(self) -> Iterator[tuple[KeyPath, str]]:
        framing = f'framing = "{self.framing}"'
        if not self.subscribers and not self.http_subscribers and not self.targets:
            yield ("subscribers",), "is missing, and targets too: the relay needs at least one sink"
        yield from self._source_faults(framing)
        if self.own_framing is not None and self.framing is not None:
            yield ("framing",), "has no effect: this plugin has a framing of its own: remove it"
        if self.first_message != FIRST_MESSAGE_S and not self.exclusive:
            why = 'has no effect: it needs producers that connect and producers = "exclusive"'
            yield ("first_message",), why
        for index, target in enumerate(self.targets):
            yield from (
                (("targets", index, *path), why) for path, why in self._target_faults(target)
            )
        for key in ("http_path", "content_type"):
            if not self.http_subscribers and getattr(self, key) != getattr(type(self), key):
                yield (key,), "has no effect: it needs http_subscribers"
        # Checked here and not by its type: a subclass that has another default declares it again.
        if not is_media_type(self.content_type):
            yield ("content_type",), 'must be a media type, such as "video/mp2t"'
        if 0 < self.silence < LEAST_SILENCE_S:
            yield ("silence",), "must be 0.1s or more, or 0s"
        if self.ends == "any_required" and not any(target.required for target in self.targets):
            yield ("ends",), '"any_required" needs a target with required = true'
        if self.framing != BYTES:
            return
        if self.lag.drops:
            yield ("on_lag",), self._undroppable(self.lag)
        if self.history.messages:
            why = f'counts messages, and {framing} has none: write a size such as "64KiB"'
            yield ("history",), why
        if self.producers == "interleave":
            yield ("producers",), f'"interleave" needs messages, and {framing} has none'

    def _source_faults(self, framing: str) -> Iterator[tuple[KeyPath, str]]:
        for index, source in enumerate(self.source):
            address = source.address
            if self.framing == DATAGRAMS and not address.message_oriented:
                why = f"{framing}, and {address} is a stream, which has no datagrams"
                yield ("source", index, "address"), why
            if self.framing == BYTES and address.message_oriented and len(self.source) == 1:
                why = f"{framing} has no messages, and {address} has: leave framing out"
                yield ("framing",), why
            if address in (each.address for each in self.source[:index]):
                yield ("source", index, "address"), f"{address} is another source already"
            if source.send and address.message_oriented:
                yield ("source", index, "send"), f"has no effect: {address} is only received"
        if not self.source and self.framing == DATAGRAMS:
            why = f"{framing} needs a source of udp:// or nats://: a stream has no datagrams"
            yield ("framing",), why
        if len(self.source) > 1 and self.framing == BYTES:
            why = f"{framing} has no messages, and several sources need them: set framing"
            yield ("framing",), why
        if self.source and self.producers == "replace":
            yield ("producers",), '"replace" has no effect with a source: use "interleave"'

    def _target_faults(self, target: Target) -> Iterator[tuple[KeyPath, str]]:
        if target.to.message_oriented and self.framing == BYTES:
            why = f'{target.to} needs messages, and framing = "none" has none: set framing'
            yield ("to",), why
        if target.required and self.ends != "any_required":
            yield ("required",), f'has no effect: it needs ends = "any_required", not "{self.ends}"'
        if target.on_lag is not None and self.framing == BYTES and self.lag_of(target).drops:
            yield ("on_lag",), self._undroppable(self.lag_of(target))

    def _undroppable(self, lag: LagPolicy) -> str:
        return (
            f'"{lag.on_lag}" drops messages, and framing = "none" has none: '
            'use "block" or "disconnect", or set framing'
        )

    @property
    def notes(self) -> dict[str, str]:
        """The notes that `-t` prints, by option: "block" cannot delay a datagram source."""
        subscribers = self.subscribers or self.http_subscribers
        lags = [*([self.lag] if subscribers else []), *map(self.lag_of, self.targets)]
        if all(lag.on_lag != "block" for lag in lags):
            return {}
        notes = [
            f'"block" does not slow {source.address} down: what arrives meanwhile {lost}'
            for source in self.source
            if (lost := _lost_while_blocked(source.address))
        ]
        return {"on_lag": "; ".join(notes)} if notes else {}

    @cached_property
    def message_framing(self) -> Framing:
        """See FramingOptions."""
        return self._made(0) if self.own_framing is None else self.own_framing

    @property
    def exclusive(self) -> bool:
        """Whether producers connect to the relay, and a second one is refused."""
        return not self.source and self.producers == "exclusive"

    @property
    def served(self) -> bool:
        """Whether producers connect to the relay."""
        return not self.source or self.producers == "interleave"

    @property
    def streams(self) -> bool:
        """Whether messages are decoded from streams of producers."""
        return self.framing not in (BYTES, DATAGRAMS)

    @cached_property
    def lag(self) -> LagPolicy:
        """The lag policy of subscribers, and of targets without one of their own."""
        return LagPolicy(self.max_lag, self.on_lag)

    def lag_of(self, target: Target) -> LagPolicy:
        """Return the lag policy of a target."""
        return LagPolicy(target.max_lag or self.max_lag, target.on_lag or self.on_lag)

    @cached_property
    def kept(self) -> History:
        """The history; if it counts messages, with a limit in bytes too."""
        messages = self.history.messages
        return replace(self.history, bytes=messages * self.limit) if messages else self.history


def refuse_framing(relay: type) -> None:
    """Raise TypeError if a relay has the attribute that other plugins have: it has no effect."""
    if "framing" in vars(relay):
        name = relay.__name__
        raise TypeError(
            f"{name}.framing has no effect: how a relay's messages are framed is an option, "
            f"framing; for a framing made in code write own_framing in {name}.Options"
        )
