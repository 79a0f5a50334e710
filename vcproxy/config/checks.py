"""Checks beyond one key: references between tables, addresses, files, certificates.

The checks run on settings whose types are valid; each yields the problems it finds. Tested in
tests/config/test_problems.py and test_alpn.py.
"""

import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path

from vcproxy.config import control, logs, proxy_protocol, tls, user, workers
from vcproxy.config.errors import KeyProblem, did_you_mean
from vcproxy.config.places import Plugins, addresses_bound, upstreams_named
from vcproxy.config.plugin import (
    mixes_datagrams,
    needs_upstream,
    overrides,
    takes_datagrams,
)
from vcproxy.config.plugin_loader import failed
from vcproxy.config.positions import KeyPath
from vcproxy.config.schema import Settings
from vcproxy.engine.address import PATHS, STANDARD, UNIX, Address

_UNPRINTABLE = "a name is shown in lines of the log: it must have no control characters"


def check(
    settings: Settings, classes: Mapping[int, type], plugins: Plugins
) -> Iterator[KeyProblem]:
    """Yield every problem, in any order.

    Args:
        settings: the tables of the file.
        classes: the classes of the plugins that were found, by the index of their listener.
        plugins: the plugins whose options are valid, by the same index.
    """
    if not settings.listener:
        yield KeyProblem(
            ("listener",),
            "there is no listener: write [[listener]] and below it, for example, "
            'name = "main", bind = "tcp://127.0.0.1:8080" and plugin = "echo"',
        )
    yield from _names(settings, plugins)
    yield from _references(settings, plugins)
    yield from _unfit_upstreams(settings, classes)
    yield from _unfit_servers(settings, plugins)
    yield from _unused_methods(plugins)
    yield from _needless_binds(settings, plugins)
    yield from _addresses(settings, plugins)
    yield from _datagrams(settings, classes, plugins)
    yield from _local(settings, plugins)
    yield from _upstreams(settings)
    yield from tls.problems(settings, plugins)
    yield from logs.problems(settings)
    yield from user.problems(settings)
    yield from _commands(plugins)
    if any(each.allow is not None or each.deny or each.rate for each in settings.listener):
        from vcproxy.config import admission  # most listeners admit all clients

        yield from admission.problems(settings, plugins)
    yield from workers.problems(settings, plugins)
    yield from control.problems(settings)
    yield from proxy_protocol.problems(settings, plugins)


def _upstreams(settings: Settings) -> Iterator[KeyProblem]:
    """Report upstream keys without effect, and health checks not possible for its servers."""
    for name, upstream in settings.upstream.items():
        path: KeyPath = ("upstream", name)
        servers, balance = (*path, "servers"), (*path, "balance")
        if upstream.balance != "hash" and upstream.hash_by != "client":
            yield KeyProblem(
                (*path, "hash_by"),
                'has no effect without balance = "hash": add that, or remove this key',
                because=(balance,),
            )
        for item, server in enumerate(upstream.servers):
            if upstream.balance == "round_robin" and server.weight > 1:
                yield KeyProblem(
                    (*servers, item, "weight"),
                    'has no effect with balance = "round_robin": write balance = "weighted"',
                    because=(balance,),
                )
        if upstream.check is None:
            continue
        for address in upstream.addresses:
            kind = (*path, "check", "kind")
            if address.message_oriented:
                text = f"{address} takes datagrams, and only streams can be checked: remove check"
                yield KeyProblem((*path, "check"), text, because=(servers,))
            elif address.scheme in PATHS and address.scheme not in UNIX:
                text = f"{address} cannot be checked, only used: remove check"
                yield KeyProblem((*path, "check"), text, because=(servers,))
            elif upstream.check.kind == "tls" and not address.secure:
                text = f'{address} is not tls://: write kind = "tcp" or "http"'
                yield KeyProblem(kind, text, because=(servers,))


def _names(settings: Settings, plugins: Plugins) -> Iterator[KeyProblem]:
    others = {
        f"{settings.listener[index].name}.{option}"
        for index, plugin in plugins.items()
        for option in plugin.binds
    }
    first: dict[str, KeyPath] = {}
    for index, listener in enumerate(settings.listener):
        path = ("listener", index, "name")
        if first.setdefault(listener.name, path) != path:
            text = "another listener has this name: choose a different one"
            yield KeyProblem(path, text, because=(first[listener.name],))
        elif listener.name in others:
            text = "addresses in the options of another listener have this name: choose another"
            yield KeyProblem(path, text)
        if not listener.name.isprintable():
            yield KeyProblem(path, _UNPRINTABLE)
    for name in settings.upstream:
        if not name.isprintable():
            yield KeyProblem(("upstream", name), _UNPRINTABLE)


def _references(settings: Settings, plugins: Plugins) -> Iterator[KeyProblem]:
    for index, listener in enumerate(settings.listener):
        own: KeyPath = ("listener", index, "upstream")
        for path, name in upstreams_named(index, listener, plugins):
            if name is None:
                message = (
                    "names no upstream, and the listener has none: name one here, or write "
                    'upstream = "NAME" in the listener'
                )
                yield KeyProblem(path, message, because=(own,))
            elif name not in settings.upstream:
                hint = did_you_mean(name, list(settings.upstream))
                message = f"there is no [upstream.{name}]{hint}"
                yield KeyProblem(path, message, because=(("upstream",),))


def _unfit_upstreams(settings: Settings, classes: Mapping[int, type]) -> Iterator[KeyProblem]:
    """Report listeners without the upstream their plugin needs, or with one it cannot use."""
    for index, cls in classes.items():
        needed, given = needs_upstream(cls), settings.listener[index].upstream is not None
        if needed is not None and needed != given:
            message = (
                "uses no upstream: remove it"
                if given
                else 'needs an upstream: write upstream = "NAME"'
            )
            path: KeyPath = ("listener", index)
            yield KeyProblem(
                (*path, "upstream"), f"{cls.__name__} {message}", because=((*path, "plugin"),)
            )


def _unfit_servers(settings: Settings, plugins: Plugins) -> Iterator[KeyProblem]:
    """Report servers that a splitter cannot use with its options."""
    for index, plugin in plugins.items():
        unfit = getattr(plugin.cls, "unfit_server", None)
        if unfit is None:
            continue
        for named, name in upstreams_named(index, settings.listener[index], plugins):
            upstream = settings.upstream.get(name or "")
            for server in () if upstream is None else upstream.addresses:
                try:
                    why = unfit(plugin.options, name, server)
                except BaseException as error:  # raised by the plugin's author
                    why = str(failed(error))
                if why:
                    path: KeyPath = ("upstream", str(name), "servers")
                    yield KeyProblem(path, f"{server}: {why}", because=(named,))


def _unused_methods(plugins: Plugins) -> Iterator[KeyProblem]:
    """Report methods written by an author but never called: they may be meant to reject traffic."""
    for index, plugin in plugins.items():
        path: KeyPath = ("listener", index)
        owners = {(*path, "plugin"): plugin}
        for number, each in enumerate(plugin.filters):
            owners[*path, "options", "filters", number, "plugin"] = each
        for place, owner in owners.items():
            for method, why in {**plugin.unused_methods, **owner.unused_methods}.items():
                if overrides(owner.cls, method):
                    name = owner.cls.__name__
                    message = f"{name} overrides {method}(), which is never called: {why}"
                    yield KeyProblem(place, message)


def _needless_binds(settings: Settings, plugins: Plugins) -> Iterator[KeyProblem]:
    for index, plugin in plugins.items():
        path: KeyPath = ("listener", index, "bind")
        given, name = bool(settings.listener[index].bind), plugin.cls.__name__
        if plugin.needs_bind is True and not given:
            example = 'write bind = "tcp://127.0.0.1:8080"'
            other = ", or the option source" if hasattr(plugin.options, "source") else ""
            yield KeyProblem(
                path, f"is missing: {name} needs an address for clients: {example}{other}"
            )
        elif plugin.needs_bind is False and given:
            yield KeyProblem(
                path, f"has no effect: with these options {name} accepts no clients: remove it"
            )


def _addresses(settings: Settings, plugins: Plugins) -> Iterator[KeyProblem]:
    """Report addresses that would be bound twice. stdio: and terminal: can be used once in a
    process."""
    standard: dict[str, list[KeyPath]] = {scheme: [] for scheme in STANDARD}
    taken: dict[tuple[str, object], KeyPath] = {}
    for index, listener in enumerate(settings.listener):
        for path, address in addresses_bound(index, listener, plugins):
            if address.scheme in standard:
                standard[address.scheme].append(path)
            elif address.path or address.port:  # with port 0 each listener gets its own port
                first = taken.setdefault(_socket(address), path)
                if first != path:
                    text = f"{address} is bound already: remove one, or write another address"
                    yield KeyProblem(path, text, because=(first,))
    for scheme, paths in standard.items():
        for path in paths[1:]:
            text = f"{scheme}: may be used only once in a process: remove one"
            yield KeyProblem(path, text, because=(paths[0],))


def _datagrams(
    settings: Settings, classes: Mapping[int, type], plugins: Plugins
) -> Iterator[KeyProblem]:
    """Report datagram addresses for plugins or servers that need streams, and vice versa."""
    for index, listener in enumerate(settings.listener):
        servers = [
            (("upstream", name, "servers"), server)
            for name in dict.fromkeys(name for _, name in upstreams_named(index, listener, plugins))
            if name in settings.upstream
            for server in settings.upstream[name].addresses
        ]
        plugin = classes.get(index)  # also if its options are not valid
        for path, address in addresses_bound(index, listener, plugins):
            if address.message_oriented and plugin is not None and not takes_datagrams(plugin):
                yield KeyProblem(
                    path,
                    f"{plugin.__name__} supports streams only, not datagrams: bind it to tcp://",
                    because=(("listener", index, "plugin"),),
                )
            if plugin is not None and mixes_datagrams(plugin):
                continue
            for place, other in [
                each for each in servers if each[1].message_oriented != address.message_oriented
            ][:1]:
                kinds = (
                    ("datagrams", "a stream")
                    if address.message_oriented
                    else ("a stream", "datagrams")
                )
                yield KeyProblem(
                    path,
                    f"this address takes {kinds[0]}, but the server {other} takes {kinds[1]}: "
                    "use datagrams on both sides, or on neither",
                    because=(place,),
                )


def _local(settings: Settings, plugins: Plugins) -> Iterator[KeyProblem]:
    """Report files of users who do not exist, and serial lines in several workers."""
    bound = [
        each
        for index, listener in enumerate(settings.listener)
        for each in addresses_bound(index, listener, plugins)
    ]
    servers = [each for upstream in settings.upstream.values() for each in upstream.addresses]
    if any(each.scheme in PATHS for each in (*servers, *(address for _, address in bound))):
        from vcproxy.config import local_addresses  # many proxies have none

        yield from local_addresses.problems(bound)
        yield from local_addresses.lines(settings)


def _socket(address: Address) -> tuple[str, object]:
    """Return a key of the socket to bind: equal for tcp:// and tls:// on the same port."""
    if address.path:
        return "unix", address.path
    return address.scheme.replace("tls", "tcp"), (address.host, address.port)


def _commands(plugins: Plugins) -> Iterator[KeyProblem]:
    """Report programs in the options of plugins that cannot be executed."""
    for index, plugin in plugins.items():
        for path, (program, *_) in plugin.commands.items():
            if reason := _not_executable(program):
                yield KeyProblem(("listener", index, "options", *path), reason)


def _not_executable(program: str) -> str | None:
    if "/" not in program:
        found = shutil.which(program) or f"/usr/bin/{program}"
        return f'"{program}" is a name, and PATH is not searched: write the path, as "{found}"'
    if not Path(program).exists():
        return f"there is no program {program}"
    if not Path(program).is_file():
        return f"{program} is not a program: it is not a file"
    if not os.access(program, os.X_OK):
        return f"{program} is not executable: allow it with chmod +x"
    return None
