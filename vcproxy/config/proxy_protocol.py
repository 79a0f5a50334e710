"""Checks of the PROXY protocol in a configuration: whether its keys can have the effect they name.

Tested in tests/config/test_proxy_protocol.py.
"""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from vcproxy.config.errors import KeyProblem
from vcproxy.config.plugin import Plugin
from vcproxy.config.tables.proxy_protocol import UNIX

if TYPE_CHECKING:
    from vcproxy.config.schema import Settings

_STREAMS = ("tcp", "tls", "unix")


def problems(settings: "Settings", plugins: Mapping[int, Plugin]) -> Iterator[KeyProblem]:
    """Yield listeners and upstreams for which it is not possible, and keys without effect.

    `plugins` are those whose options are valid, by the index of their listener.
    """
    for index, listener in enumerate(settings.listener):
        table, path = listener.proxy_protocol, ("listener", index, "proxy_protocol")
        if table is None or index not in plugins:
            continue
        bound = [*listener.bind, *(each for some in plugins[index].binds.values() for each in some)]
        unfit = next((each for each in bound if each.scheme not in _STREAMS), None)
        if unfit is not None or not bound:
            what = "it accepts no clients" if unfit is None else f"{unfit} is none of these"
            text = f"headers can be read at tcp://, tls:// and unix: only, and {what}: remove it"
            yield KeyProblem(path, text, because=(("listener", index, "bind"),))
            continue
        local = next((each for each in bound if each.scheme == "unix"), None)
        if local is None and UNIX in table.from_:
            text = '"unix" has no effect: no address of the listener is a Unix socket: remove it'
            yield KeyProblem((*path, "from"), text)
        elif local is not None and UNIX not in table.from_ and table.others == "refuse":
            text = f'no client at {local} would be served: add "unix" to from, if they send headers'
            yield KeyProblem((*path, "from"), text)
    for name, upstream in settings.upstream.items():
        announced = upstream.proxy_protocol
        place = ("upstream", name, "proxy_protocol")
        if announced is None:
            continue
        other = next((each for each in upstream.addresses if each.scheme not in _STREAMS), None)
        if other is not None:
            text = f"{other} takes no header: only tcp://, tls:// and unix: do: remove it"
            yield KeyProblem(place, text, because=(("upstream", name, "servers"),))
        if announced.version == "v1" and announced.tlvs:
            text = 'has no effect with version = "v1": write version = "v2", or remove this key'
            yield KeyProblem((*place, "tlvs"), text, because=((*place, "version"),))
