"""ModbusOptions: the devices of a Modbus gateway, and the requests that they get.

Values; the plugin `modbus` uses them, and gateways of authors may. Tested in
tests/messages/test_modbus_options.py.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, Literal, NamedTuple, TypeAlias

from pydantic import Field

from vcproxy.config.numbers import Numbers
from vcproxy.config.values import Duration, NumberRanges, UpstreamName
from vcproxy.protocols.modbus import ModbusError, ModbusRequest, parse_modbus_request

Protocol: TypeAlias = Literal["tcp", "rtu"]
UNITS = Numbers.parse("0-255")
FUNCTIONS = Numbers.parse("1-127")
ADDRESSES = Numbers.parse("0-65535")


@dataclass(frozen=True)
class ModbusDevice:
    """Units that are reached by one connection."""

    units: NumberRanges
    """Their ids in requests, as "1-9, 20"."""

    upstream: UpstreamName
    """The upstream that they are at."""

    protocol: Protocol = "tcp"
    """What it speaks. "tcp": Modbus/TCP. "rtu": RTU, on a serial:// line or over tcp://."""

    unit: Annotated[int, Field(ge=0, le=255)] | None = None
    """The unit id that it gets instead of the one in the request: for several devices that all have
    the same. Left out: the one in the request."""

    def __post_init__(self) -> None:
        if not UNITS.include_all(self.units):
            raise ValueError(f'units "{self.units}": a unit id is {UNITS}')


@dataclass(frozen=True)
class ModbusRule:
    """Requests that are allowed: those that match every key. A key that is left out matches all."""

    units: NumberRanges | None = None
    """Unit ids, as the client sends them."""

    functions: NumberRanges | None = None
    """Function codes, as "1-4, 16"."""

    addresses: NumberRanges | None = None
    """Addresses as they are sent, from 0: those of holding register 40001 are 0. A request must
    read and write none but these. Functions without addresses, which may restart a device or write
    its files, match only if `functions` names them."""

    def __post_init__(self) -> None:
        for name, given, possible, what in (
            ("units", self.units, UNITS, "a unit id"),
            ("functions", self.functions, FUNCTIONS, "a function code"),
            ("addresses", self.addresses, ADDRESSES, "an address"),
        ):
            if given is not None and not possible.include_all(given):
                raise ValueError(f'{name} "{given}": {what} is {possible}')

    def allows_function(self, unit: int, request: ModbusRequest) -> bool:
        """Return whether the function is allowed, at some addresses."""
        if self.units is not None and unit not in self.units:
            return False
        if self.functions is not None:
            return request.pdu[0] in self.functions
        return self.addresses is None or bool(request.reads or request.writes)

    def allows_addresses(self, request: ModbusRequest) -> bool:
        """Return whether all addresses of the request are allowed."""
        allowed = self.addresses
        return allowed is None or (
            allowed.include(request.reads) and allowed.include(request.writes)
        )


class ModbusRoute(NamedTuple):
    """Where the requests for a unit go."""

    upstream: str | None
    """None: there is none."""
    unit: int
    """The unit id that the device gets."""
    is_rtu: bool


@dataclass(frozen=True)
class ModbusOptions:
    """The devices of a gateway, the requests that they get, and how long these may take."""

    protocol: Protocol = "tcp"
    """What the device at the listener's `upstream` speaks: see `protocol` of `devices`."""

    devices: tuple[ModbusDevice, ...] = ()
    """Units at other upstreams: { units, upstream, protocol, unit }. All others are at the
    listener's `upstream`; without one they are answered with exception 10."""

    read_only: bool = False
    """Whether only functions are forwarded that change nothing: 1 to 4, 7, 11, 12, 17, 20, 24, 43.
    Others are answered with exception 1."""

    allow: tuple[ModbusRule, ...] = ()
    """The requests that are forwarded: { units, functions, addresses }. Empty: all; else those that
    one of these allows. Others are answered with exception 1, or 2 if only their addresses are not
    allowed."""

    in_flight: Annotated[int, Field(ge=0)] = 1
    """How many requests a device has at one time; 0: no limit. With RTU always 1."""

    timeout: Annotated[Duration, Field(gt=0)] = 1.0
    """How long a device may take for its reply, from when it was sent the request. Then the client
    gets exception 11."""

    queue_timeout: Annotated[Duration, Field(gt=0)] = 5.0
    """How long a request may wait until it is sent. Then the client gets exception 6."""

    attempts: Annotated[int, Field(ge=1)] = 2
    """How often a request that changes nothing is sent at most: again when it was not answered in
    time, or its connection was lost."""

    cache: Duration = 0.0
    """How long a reply is given to equal requests, from all clients, that change nothing. "0s":
    each request is sent. A request that may change something ends this for the device."""

    def __post_init__(self) -> None:
        spoken: dict[str, Protocol] = {}
        for device in self.devices:
            if spoken.setdefault(device.upstream, device.protocol) != device.protocol:
                raise ValueError(f'devices: upstream "{device.upstream}" has two protocols')

    def protocol_at(self, upstream: str) -> Protocol:
        """Return what is spoken at an upstream."""
        spoken = {device.upstream: device.protocol for device in self.devices}
        return spoken.get(upstream, self.protocol)

    def routes(self, upstream: str | None) -> tuple[ModbusRoute, ...]:
        """Return the way of each unit id, 0 to 255, at a listener with this upstream. The first
        device that lists a unit counts."""
        routes = self._routes.get(upstream)
        if routes is None:
            routes = self._routes[upstream] = self._routes_of(upstream)
        return routes

    @cached_property
    def _routes(self) -> dict[str | None, tuple[ModbusRoute, ...]]:
        return {}

    def _routes_of(self, upstream: str | None) -> tuple[ModbusRoute, ...]:
        is_rtu = upstream is not None and self.protocol_at(upstream) == "rtu"
        routes = [ModbusRoute(upstream, unit, is_rtu) for unit in range(256)]
        for device in reversed(self.devices):
            for unit in device.units:
                sent = unit if device.unit is None else device.unit
                routes[unit] = ModbusRoute(device.upstream, sent, device.protocol == "rtu")
        return tuple(routes)

    def checked(self, unit: int, pdu: bytes) -> ModbusRequest | ModbusError:
        """Return the request, or the exception that answers it because it is wrong or not
        allowed."""
        request = parse_modbus_request(pdu)
        if isinstance(request, ModbusError) or not (self.allow or self.read_only):
            return request
        if self.read_only and request.changes:
            return ModbusError.ILLEGAL_FUNCTION
        rules = [rule for rule in self.allow if rule.allows_function(unit, request)]
        if self.allow and not any(rule.allows_addresses(request) for rule in rules):
            return ModbusError.ILLEGAL_ADDRESS if rules else ModbusError.ILLEGAL_FUNCTION
        return request
