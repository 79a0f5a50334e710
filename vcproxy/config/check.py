"""Checks that look beyond one key: names that refer to each other, addresses, files, certificates.

Each check is a generator of faults over settings that are sound by their types.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from vcproxy.config.place import KeyPath
from vcproxy.config.plugin import Plugin, alpn_refused, overrides, takes_datagrams
from vcproxy.config.problem import KeyFault, did_you_mean
from vcproxy.config.schema import KeyPair, ListenerTable, Settings, UpstreamTls
from vcproxy.engine.address import Address

Plugins = Mapping[int, Plugin]
"""The plugins by their listener's index: of those that could be loaded, with their options."""


def check(settings: Settings, plugins: Plugins) -> Iterator[KeyFault]:
    """Yield every fault; which check comes first does not matter."""
    if not settings.listener:
        yield KeyFault(
            ("listener",),
            "there is no listener: write [[listener]] and below it, for example, "
            'name = "main", bind = "tcp://127.0.0.1:8080" and plugin = "echo"',
        )
    yield from _names(settings, plugins)
    yield from _references(settings, plugins)
    yield from _uncalled(plugins)
    yield from _entrances(settings, plugins)
    yield from _addresses(settings, plugins)
    yield from _kinds(settings, plugins)
    yield from _tls_and_addresses(settings, plugins)
    yield from _upstreams(settings)
    yield from _files(settings, plugins)


def _upstreams(settings: Settings) -> Iterator[KeyFault]:
    """What an upstream says must be of some use to its servers."""
    for name, upstream in settings.upstream.items():
        path: KeyPath = ("upstream", name)
        servers, balance = (*path, "servers"), (*path, "balance")
        if upstream.balance != "hash" and upstream.hash_by != "client":
            yield KeyFault(
                (*path, "hash_by"), 'is of no use without balance = "hash"', because=(balance,)
            )
        for item, server in enumerate(upstream.servers):
            if upstream.balance == "round_robin" and server.weight != 1:
                yield KeyFault(
                    (*servers, item, "weight"),
                    'is of no use with balance = "round_robin": write balance = "weighted"',
                    because=(balance,),
                )
        if upstream.check is None:
            continue
        for address in upstream.addresses:
            kind = (*path, "check", "kind")
            if address.message_oriented:
                text = f"{address} takes datagrams: nobody can tell whether it is well"
                yield KeyFault((*path, "check"), text, because=(servers,))
            elif upstream.check.kind == "tls" and not address.secure:
                yield KeyFault(kind, f"{address} does not speak TLS", because=(servers,))


def _names(settings: Settings, plugins: Plugins) -> Iterator[KeyFault]:
    others = {
        f"{settings.listener[index].name}.{option}"
        for index, plugin in plugins.items()
        for option in plugin.binds
    }
    first: dict[str, KeyPath] = {}
    for index, listener in enumerate(settings.listener):
        path = ("listener", index, "name")
        if first.setdefault(listener.name, path) != path:
            yield KeyFault(path, "another listener has this name", because=(first[listener.name],))
        elif listener.name in others:
            yield KeyFault(path, "another listener's options listen under this name")


def _references(settings: Settings, plugins: Plugins) -> Iterator[KeyFault]:
    for index, listener in enumerate(settings.listener):
        own: KeyPath = ("listener", index, "upstream")
        for path, name in _named(index, listener, plugins):
            if name is None:
                message = "is missing, and so is the listener's upstream, which would be taken"
                yield KeyFault(path, message, because=(own,))
            elif name not in settings.upstream:
                hint = did_you_mean(name, list(settings.upstream))
                message = f"there is no [upstream.{name}]{hint}"
                yield KeyFault(path, message, because=(("upstream",),))


def _named(
    index: int, listener: ListenerTable, plugins: Plugins
) -> Iterator[tuple[KeyPath, str | None]]:
    """Yield the upstreams that a listener names, and its plugin's options; None: a missing one."""
    path: KeyPath = ("listener", index)
    if listener.upstream is not None:
        yield (*path, "upstream"), listener.upstream
    if index in plugins:
        for option, name in plugins[index].upstreams.items():
            if name is not None or listener.upstream is None:
                yield (*path, "options", *option), name


def _uncalled(plugins: Plugins) -> Iterator[KeyFault]:
    """What an author wrote to be called must be: it may be what keeps something from passing."""
    for index, plugin in plugins.items():
        path: KeyPath = ("listener", index)
        owners = {(*path, "plugin"): plugin}
        for number, each in enumerate(plugin.filters):
            owners[*path, "options", "filters", number, "plugin"] = each
        for place, owner in owners.items():
            for method, why in {**plugin.unused_methods, **owner.unused_methods}.items():
                if overrides(owner.cls, method):
                    who = owner.cls.__name__
                    message = f"{who} overrides {method}(), which is never called: {why}"
                    yield KeyFault(place, message)


def _entrances(settings: Settings, plugins: Plugins) -> Iterator[KeyFault]:
    for index, plugin in plugins.items():
        path: KeyPath = ("listener", index, "bind")
        given, name = bool(settings.listener[index].bind), plugin.cls.__name__
        if plugin.needs_bind is True and not given:
            example = 'write bind = "tcp://127.0.0.1:8080"'
            yield KeyFault(path, f"is missing: nothing would ever come to {name}: {example}")
        elif plugin.needs_bind is False and given:
            yield KeyFault(
                path, f"is of no use: with these options {name} takes nothing from there"
            )


def _bound(
    index: int, listener: ListenerTable, plugins: Plugins
) -> Iterator[tuple[KeyPath, Address]]:
    """Yield all that a listener binds, with its place: its own addresses and its plugin's."""
    path: KeyPath = ("listener", index)
    for item, address in enumerate(listener.bind):
        yield (*path, "bind", item), address
    if index in plugins:
        for option, addresses in plugins[index].binds.items():
            for item, address in enumerate(addresses):
                yield (*path, "options", option, item), address


def _addresses(settings: Settings, plugins: Plugins) -> Iterator[KeyFault]:
    """An address is bound once; standard input and output are one connection."""
    stdio: list[KeyPath] = []
    taken: dict[tuple[str, object], KeyPath] = {}
    for index, listener in enumerate(settings.listener):
        for path, address in _bound(index, listener, plugins):
            if address.scheme == "stdio":
                stdio.append(path)
            elif address.path or address.port:  # on port 0 everybody gets a port of their own
                first = taken.setdefault(_socket(address), path)
                if first != path:
                    yield KeyFault(path, f"{address} is bound already", because=(first,))
    for path in stdio[1:]:
        yield KeyFault(path, "stdio: may be used only once in a process", because=(stdio[0],))


def _kinds(settings: Settings, plugins: Plugins) -> Iterator[KeyFault]:
    """Datagrams are for those who know them: a stream has no boundaries to keep."""
    for index, listener in enumerate(settings.listener):
        servers = [
            (("upstream", name, "servers"), server)
            for name in dict.fromkeys(name for _, name in _named(index, listener, plugins))
            if name in settings.upstream
            for server in settings.upstream[name].addresses
        ]
        plugin = plugins[index].cls if index in plugins else None
        for path, address in _bound(index, listener, plugins):
            if address.message_oriented and plugin is not None and not takes_datagrams(plugin):
                yield KeyFault(
                    path,
                    f"{plugin.__name__} knows streams only, and here datagrams would come: "
                    "bind it to tcp://",
                    because=(("listener", index, "plugin"),),
                )
            for place, other in [
                each for each in servers if each[1].message_oriented != address.message_oriented
            ][:1]:
                kinds = (
                    ("datagrams", "a stream")
                    if address.message_oriented
                    else ("a stream", "datagrams")
                )
                yield KeyFault(
                    path,
                    f"{kinds[0]} would come here, and the server {other} takes {kinds[1]}: "
                    "have both udp://, or neither",
                    because=(place,),
                )


def _socket(address: Address) -> tuple[str, object]:
    """Return what two addresses cannot both bind: tcp:// and tls:// share their ports."""
    if address.path:
        return "unix", address.path
    return address.scheme.replace("tls", "tcp"), (address.host, address.port)


def _tls_and_addresses(settings: Settings, plugins: Plugins) -> Iterator[KeyFault]:
    for index, listener in enumerate(settings.listener):
        path: KeyPath = ("listener", index)
        tls = (*path, "tls")
        secure = [place for place, address in _bound(index, listener, plugins) if address.secure]
        if listener.tls is None:
            for place in secure:
                message = "tls:// needs the listener's tls = { certificate = ..., key = ... }"
                yield KeyFault(place, message, because=(tls,))
        elif not secure and index in plugins:
            where = " or ".join(("bind", *plugins[index].binds))
            message = f"is of no use: no address in {where} is tls://"
            yield KeyFault(tls, message, because=((*path, "bind"), (*path, "options")))
        elif index in plugins:
            yield from _alpn(listener.tls.alpn, plugins[index].cls, (*tls, "alpn"))
    for index, plugin in plugins.items():
        if plugin.tls != UpstreamTls() and not plugin.needs_tls:
            yield KeyFault(
                ("listener", index, "options", "tls"),
                "is of no use: no other option names a server that is tls://",
            )
    for name, upstream in settings.upstream.items():
        if upstream.tls != UpstreamTls() and not any(each.secure for each in upstream.addresses):
            yield KeyFault(
                ("upstream", name, "tls"),
                "is of no use: no server is tls://",
                because=(("upstream", name, "servers"),),
            )


def _alpn(offered: Sequence[str], plugin: type, path: KeyPath) -> Iterator[KeyFault]:
    """What is offered must be spoken: a client that shares it will speak nothing else."""
    for item, protocol in enumerate(offered):
        if protocol in alpn_refused(plugin):
            yield KeyFault(
                (*path, item),
                f'{plugin.__name__} does not speak "{protocol}": leave it out, and clients that '
                "prefer it take another protocol",
                because=((*path[:2], "plugin"),),
            )


def _files(settings: Settings, plugins: Plugins) -> Iterator[KeyFault]:
    log = settings.proxy.log
    if log is not None and not log.parent.is_dir():
        yield KeyFault(("proxy", "log"), f"there is no directory {log.parent}")
    for index, listener in enumerate(settings.listener):
        if listener.tls is not None:
            path: KeyPath = ("listener", index, "tls")
            yield from _key_pair(listener.tls, path)
            yield from _authorities(listener.tls.client_ca, (*path, "client_ca"))
            for name, pair in listener.tls.names.items():
                yield from _key_pair(pair, (*path, "names", name))
    for index, plugin in plugins.items():
        yield from _authorities(plugin.tls.ca, ("listener", index, "options", "tls", "ca"))
    for name, upstream in settings.upstream.items():
        yield from _authorities(upstream.tls.ca, ("upstream", name, "tls", "ca"))


def _authorities(file: Path | None, path: KeyPath) -> Iterator[KeyFault]:
    if file is None:
        return
    if trouble := _unreadable(file):
        yield KeyFault(path, trouble)
    elif not _holds_certificates(file):
        yield KeyFault(path, f"{file} holds no certificate in PEM")


def _key_pair(pair: KeyPair, path: KeyPath) -> Iterator[KeyFault]:
    files = {"certificate": pair.certificate, "key": pair.key}
    troubles = {name: trouble for name, file in files.items() if (trouble := _unreadable(file))}
    for name, trouble in troubles.items():
        yield KeyFault((*path, name), trouble)
    if "certificate" not in troubles and not _holds_certificates(pair.certificate):
        yield KeyFault((*path, "certificate"), f"{pair.certificate} holds no certificate in PEM")
    elif not troubles and (trouble := _wrong_key(pair)):
        yield KeyFault((*path, "key"), trouble)


def _unreadable(file: Path) -> str | None:
    try:
        with file.open("rb"):
            return None
    except OSError as error:
        return f"cannot read {file}: {error.strerror}"


def _holds_certificates(file: Path) -> bool:
    import ssl  # costs some 10 ms that a proxy without TLS need not wait for

    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(file)
    except ssl.SSLError:
        return False
    return True


def _wrong_key(pair: KeyPair) -> str | None:
    """Return what is wrong with the key of a readable certificate."""
    import ssl

    class EncryptedError(Exception):
        pass

    def passphrase() -> str:
        raise EncryptedError

    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(
            pair.certificate, pair.key, passphrase
        )
    except EncryptedError:
        return (
            f"{pair.key} is encrypted: store the key without a passphrase, readable only to vcproxy"
        )
    except ssl.SSLError as error:
        if error.reason in ("KEY_VALUES_MISMATCH", "KEY_TYPE_MISMATCH"):
            return f"{pair.key} is not the key of {pair.certificate}"
        if error.reason == "EE_KEY_TOO_SMALL":
            return f"the key of {pair.certificate} is too short to be safe"
        return f"{pair.key} holds no private key in PEM"
    return None
