"""Checks of the tables of TLS that involve more than one key, or files.

Tested in tests/config/test_tls.py and test_problems.py.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

from vcproxy.config.certificate_files import authorities, key_pair
from vcproxy.config.certificate_folder import pairs_in
from vcproxy.config.errors import KeyProblem
from vcproxy.config.places import Plugins, addresses_bound, upstreams_named
from vcproxy.config.plugin import alpn_refused
from vcproxy.config.positions import KeyPath
from vcproxy.config.schema import Settings
from vcproxy.config.tables.tls import HandshakeTable, ListenerTls, UpstreamTls


def problems(settings: Settings, plugins: Plugins) -> Iterator[KeyProblem]:
    """Yield tables without effect, addresses without their table, files that cannot be used."""
    yield from _tables(settings, plugins)
    yield from _protocols(settings, plugins)
    for index, listener in enumerate(settings.listener):
        if listener.tls is not None:
            yield from _of_listener(listener.tls, ("listener", index, "tls"))
    for index, plugin in plugins.items():
        yield from _of_servers(plugin.tls, ("listener", index, "options", "tls"))
    for name, upstream in settings.upstream.items():
        yield from _of_servers(upstream.tls, ("upstream", name, "tls"))


def _tables(settings: Settings, plugins: Plugins) -> Iterator[KeyProblem]:
    for index, listener in enumerate(settings.listener):
        path: KeyPath = ("listener", index)
        tls = (*path, "tls")
        bound = addresses_bound(index, listener, plugins)
        secure = [place for place, address in bound if address.secure]
        if listener.tls is None:
            for place in secure:
                message = "tls:// needs the listener's tls = { certificate = ..., key = ... }"
                yield KeyProblem(place, message, because=(tls,))
        elif not secure and index in plugins:
            where = " or ".join(("bind", *plugins[index].binds))
            message = (
                f"has no effect: no address in {where} is tls://: remove it, or make one tls://"
            )
            yield KeyProblem(tls, message, because=((*path, "bind"), (*path, "options")))
    for index, plugin in plugins.items():
        if plugin.tls != UpstreamTls() and not plugin.needs_tls:
            yield KeyProblem(
                ("listener", index, "options", "tls"),
                "has no effect: no other option names a server on tls://: remove it",
            )
    for name, upstream in settings.upstream.items():
        if upstream.tls != UpstreamTls() and not any(each.secure for each in upstream.addresses):
            yield KeyProblem(
                ("upstream", name, "tls"),
                "has no effect: no server is tls://: remove it, or make one tls://",
                because=(("upstream", name, "servers"),),
            )


def _protocols(settings: Settings, plugins: Plugins) -> Iterator[KeyProblem]:
    """Report offered protocols that the plugin does not support: the peer would choose them."""
    for index, listener in enumerate(settings.listener):
        if index not in plugins:
            continue
        path: KeyPath = ("listener", index)
        cls, place = plugins[index].cls, (*path, "plugin")
        if listener.tls is not None and any(
            address.secure for _, address in addresses_bound(index, listener, plugins)
        ):
            yield from _unsupported(listener.tls.alpn, cls, (*path, "tls", "alpn"), place)
        for name in dict.fromkeys(name for _, name in upstreams_named(index, listener, plugins)):
            if name in settings.upstream:
                offered = settings.upstream[name].tls.alpn
                yield from _unsupported(offered, cls, ("upstream", name, "tls", "alpn"), place)


def _unsupported(
    offered: Sequence[str], plugin: type, path: KeyPath, place: KeyPath
) -> Iterator[KeyProblem]:
    peers = "clients" if path[0] == "listener" else "servers"
    for item, protocol in enumerate(offered):
        if protocol in alpn_refused(plugin):
            text = f'{plugin.__name__} does not support "{protocol}": remove it, and {peers} use '
            yield KeyProblem((*path, item), f"{text}another protocol", because=(place,))


def _of_listener(tls: ListenerTls, path: KeyPath) -> Iterator[KeyProblem]:
    yield from key_pair(tls, path)
    yield from authorities(tls.client_ca, (*path, "client_ca"))
    for name, pair in tls.names.items():
        yield from key_pair(pair, (*path, "names", name))
    for item, pair in enumerate(tls.certificates):
        yield from key_pair(pair, (*path, "certificates", item))
    if tls.certificate_folder is not None:
        yield from _of_folder(tls.certificate_folder, (*path, "certificate_folder"))
    if tls.client_verify != "required" and tls.client_ca is None:
        text = "has no effect without client_ca: add it, or remove this key"
        yield KeyProblem((*path, "client_verify"), text, because=((*path, "client_ca"),))
    yield from _handshake(tls, path)


def _of_folder(folder: Path, path: KeyPath) -> Iterator[KeyProblem]:
    try:
        pairs = pairs_in(folder)
    except OSError as error:
        yield KeyProblem(path, f"cannot read {folder}: {error.strerror}")
        return
    for pair in pairs:
        for problem in key_pair(pair, path):
            yield KeyProblem(path, problem.message)


def _of_servers(tls: UpstreamTls, path: KeyPath) -> Iterator[KeyProblem]:
    yield from authorities(tls.ca, (*path, "ca"))
    if tls.key_pair is not None:
        yield from key_pair(tls.key_pair, path)
    elif tls.certificate is not None:
        yield KeyProblem((*path, "key"), "is missing: the certificate needs its private key")
    elif tls.key is not None:
        yield KeyProblem((*path, "certificate"), "is missing: the key needs its certificate")
    yield from _unverified(tls, path)
    yield from _handshake(tls, path)


def _unverified(tls: UpstreamTls, path: KeyPath) -> Iterator[KeyProblem]:
    """Report a name to verify that is none, or that is not verified."""
    if tls.verify_name == "":
        yield KeyProblem((*path, "verify_name"), "must not be empty: leave it out")
    elif tls.verify_name is not None and not tls.verify:
        text = "has no effect with verify = false: remove one of them"
        yield KeyProblem((*path, "verify_name"), text, because=((*path, "verify"),))


def _handshake(tls: HandshakeTable, path: KeyPath) -> Iterator[KeyProblem]:
    if tls.min_version > tls.max_version:
        text = f"is higher than max_version: no version is left: write {tls.max_version} or less"
        yield KeyProblem((*path, "min_version"), text, because=((*path, "max_version"),))
    older = [each for each in tls.ciphers if not each.startswith("TLS_")]
    if older and tls.min_version == "1.3":
        text = f'"{older[0]}" has no effect with min_version = "1.3": it is a cipher of TLS 1.2'
        yield KeyProblem((*path, "ciphers"), text, because=((*path, "min_version"),))
    if not tls.ciphers and not tls.groups:
        return
    import ssl

    from vcproxy.drivers.handshake_parameters import set_ciphers, set_groups

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    for key, set_them in (("ciphers", set_ciphers), ("groups", set_groups)):
        try:
            set_them(context, getattr(tls, key))
        except ValueError as error:
            yield KeyProblem((*path, key), str(error))
