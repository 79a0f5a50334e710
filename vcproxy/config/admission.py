"""Checks of allow, deny and rate beyond one key. Tested in tests/config/test_admission.py."""

from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from ipaddress import IPv4Network, IPv6Network
from itertools import islice
from typing import TYPE_CHECKING

from vcproxy.admission.networks import AdmittedAddresses
from vcproxy.config.errors import KeyProblem
from vcproxy.config.plugin import Plugin
from vcproxy.config.positions import KeyPath
from vcproxy.config.tables.listener import ListenerTable
from vcproxy.engine.address import UNIX, Address

if TYPE_CHECKING:
    from vcproxy.config.loader import Configuration
    from vcproxy.config.schema import Settings

Network = IPv4Network | IPv6Network

MAX_NOTES = 10
"""Notes on the networks of one listener: a list that was generated may have thousands of them."""


def problems(settings: "Settings", plugins: Mapping[int, Plugin]) -> Iterator[KeyProblem]:
    """Yield lists that admit no client, and keys without effect."""
    for index, listener in enumerate(settings.listener):
        path: KeyPath = ("listener", index)
        if listener.allow == ():
            text = "is empty, so no client is served: name networks, or remove it"
            yield KeyProblem((*path, "allow"), text)
        elif listener.allow and AdmittedAddresses(listener.allow, listener.deny).empty:
            text = "no client is served: `deny` includes all of these networks"
            yield KeyProblem((*path, "allow"), text, because=((*path, "deny"),))
        if index in plugins:
            yield from _without_effect(path, listener, plugins[index])


def _without_effect(path: KeyPath, listener: ListenerTable, plugin: Plugin) -> Iterator[KeyProblem]:
    bound = _bound(listener, plugin)
    keys = [key for key in ("allow", "deny", "rate") if getattr(listener, key)]
    for key in keys:
        if not bound:
            text = f"has no effect: {plugin.cls.__name__} accepts no clients here: remove it"
            yield KeyProblem((*path, key), text, because=((*path, "plugin"),))
        elif not any(_has_clients_with_addresses(each, listener) for each in bound) and (
            key != "rate" or all(rate.for_each != "listener" for rate in listener.rate)
        ):
            text = "has no effect: no client of this listener has an IP address: remove it"
            if key == "rate":
                text += ', or write for_each = "listener"'
            yield KeyProblem((*path, key), text, because=((*path, "bind"),))


def _bound(listener: ListenerTable, plugin: Plugin) -> list[Address]:
    """Return the addresses of a listener at which clients connect."""
    options = (address for addresses in plugin.binds.values() for address in addresses)
    return [each for each in (*listener.bind, *options) if not each.multicast]


def _has_clients_with_addresses(address: Address, listener: ListenerTable) -> bool:
    announced = getattr(listener, "proxy_protocol", None) is not None
    return address.scheme in ("tcp", "tls", "udp") or (announced and address.scheme in UNIX)


def notes(configuration: "Configuration") -> Iterator[tuple[str, str]]:
    """Yield networks without effect, and clients that the lists do not concern."""
    for listener in configuration.settings.listener:
        path = f"listener.{listener.name}"
        found = list(islice(_redundant(listener), MAX_NOTES + 1))
        for key, text in found[:MAX_NOTES]:
            yield f"{path}.{key}", text
        lists = [key for key in ("allow", "deny") if getattr(listener, key)]
        if len(found) > MAX_NOTES:
            text = f"more of these networks have no effect; the first {MAX_NOTES} are listed above"
            yield f"{path}.{found[-1][0]}", text
        for address in listener.bind if lists else ():
            if address.scheme in UNIX and not _has_clients_with_addresses(address, listener):
                text = f"clients of {address} have no IP address and are served"
                yield f"{path}.{lists[0]}", f"{text}: the mode and owner of its file decide"


def _redundant(listener: ListenerTable) -> Iterator[tuple[str, str]]:
    """Yield the networks that change nothing, with the key of their list, and why."""
    allow, deny = set(listener.allow or ()), set(listener.deny)
    starts = sorted((each.version, int(each.network_address)) for each in allow)
    for key, own in (("allow", listener.allow or ()), ("deny", listener.deny)):
        seen: set[Network] = set()
        for network in own:
            if network in seen:
                yield key, f"{network} is listed twice: remove one"
                continue
            seen.add(network)
            if key == "allow" and (outer := _including(deny, network)):
                yield key, f"{network} has no effect: {outer} in deny includes it"
            elif outer := _including(allow if key == "allow" else deny, network, strictly=True):
                yield key, f"{network} has no effect: {outer} is in the list too"
            elif key == "deny" and allow and not _overlaps(allow, starts, network):
                yield key, f"{network} has no effect: no network in allow includes a part of it"


def _including(
    networks: set[Network], network: Network, *, strictly: bool = False
) -> Network | None:
    """Return the smallest of these networks that includes a network; `strictly`: not itself."""
    for length in range(network.prefixlen - strictly, -1, -1):
        outer = network.supernet(new_prefix=length)
        if outer in networks:
            return outer
    return None


def _overlaps(networks: set[Network], starts: Sequence[tuple[int, int]], network: Network) -> bool:
    """Return whether one of these networks includes a network, or is a part of it.

    `starts`: their versions and first addresses, sorted.
    """
    place = bisect_left(starts, (network.version, int(network.network_address)))
    inside = place < len(starts) and starts[place] <= (
        network.version,
        int(network.broadcast_address),
    )
    return inside or _including(networks, network) is not None
