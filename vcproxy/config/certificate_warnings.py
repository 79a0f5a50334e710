"""Certificates and keys that can be used, but are probably not what is meant.

They are served nevertheless. Tested in tests/config/test_certificate_warnings.py.
"""

from collections.abc import Iterator
from pathlib import Path
from time import time

from vcproxy.config.certificate_files import key_pairs
from vcproxy.config.errors import KeyProblem
from vcproxy.config.places import Plugins
from vcproxy.config.positions import KeyPath
from vcproxy.config.private_files import readable_by_all
from vcproxy.config.schema import Settings
from vcproxy.config.tables.tls import KeyPair, ListenerTls, UpstreamTls


def certificate_warnings(settings: Settings, plugins: Plugins) -> Iterator[KeyProblem]:
    """Yield keys that all users can read, certificates that expire soon or are for other names, and
    those that are never used."""
    for index, listener in enumerate(settings.listener):
        if listener.tls is not None:
            yield from _of_listener(listener.tls, ("listener", index, "tls"))
    if settings.control.tls is not None:
        yield from _of_pair(settings.control.tls, ("control", "tls"))
    for name, upstream in settings.upstream.items():
        yield from _of_servers(upstream.tls, ("upstream", name, "tls"))
    for index, plugin in plugins.items():
        yield from _of_servers(plugin.tls, ("listener", index, "options", "tls"))


def _of_servers(tls: UpstreamTls, path: KeyPath) -> Iterator[KeyProblem]:
    if tls.key_pair is not None:
        yield from _of_pair(tls.key_pair, path)
    if tls.ca is not None and not tls.verify:
        yield KeyProblem((*path, "ca"), "has no effect with verify = false: any server is accepted")


def _of_listener(tls: ListenerTls, path: KeyPath) -> Iterator[KeyProblem]:
    yield from _of_pair(tls, path)
    for name, pair in tls.names.items():
        place: KeyPath = (*path, "names", name)
        yield from _of_pair(pair, place)
        yield from _other_name(name, pair.certificate, (*place, "certificate"))
    for item, pair in enumerate(tls.certificates):
        yield from _of_pair(pair, (*path, "certificates", item))
    if tls.certificate_folder is not None:
        place = (*path, "certificate_folder")
        listed = 1 + len(tls.names) + len(tls.certificates)
        in_folder = key_pairs(tls)[listed:]
        if not in_folder:
            yield KeyProblem(place, f"{tls.certificate_folder} contains no certificate")
        for pair in in_folder:
            for problem in _of_pair(pair, place):
                yield KeyProblem(place, problem.message)
    if tls.certificates or tls.certificate_folder is not None:
        yield from _unused(tls, path)


def _of_pair(pair: KeyPair, path: KeyPath) -> Iterator[KeyProblem]:
    from vcproxy.drivers.certificate import read_facts  # imports ssl: only if TLS is configured
    from vcproxy.drivers.certificate_validity import unfit

    facts = read_facts(pair.certificate)
    if facts is not None and (why := unfit(facts.not_before, facts.not_after, time())):
        yield KeyProblem((*path, "certificate"), f"{pair.certificate} {why}")
    if why := readable_by_all(pair.key):
        yield KeyProblem((*path, "key"), why)


def _other_name(name: str, certificate: Path, path: KeyPath) -> Iterator[KeyProblem]:
    from vcproxy.drivers.certificate import has_name, read_names

    try:
        names = read_names(certificate)
    except ValueError:
        return  # an error of its own
    if not has_name(names, name):
        listed = ", ".join(names) or "no name"
        text = f"{certificate} is not for {name}, but for {listed}: clients will refuse it"
        yield KeyProblem(path, text)


def _unused(tls: ListenerTls, path: KeyPath) -> Iterator[KeyProblem]:
    """Report certificates that no name is left for."""
    from vcproxy.drivers.certificate_choice import Identity, choose

    def identity(pair: KeyPair) -> Identity:
        return Identity(pair.certificate, pair.key)

    names = {name: identity(pair) for name, pair in tls.names.items()}
    others = [identity(pair) for pair in key_pairs(tls)[1 + len(names) :]]
    try:
        choice = choose(identity(tls), names, others)
    except ValueError:
        return  # an error of its own
    used = {*choice.default, *(each for chosen in choice.by_name.values() for each in chosen)}
    for item, each in enumerate(others):
        if each not in used:
            listed = item < len(tls.certificates)
            place: KeyPath = ("certificates", item) if listed else ("certificate_folder",)
            text = (
                f"{each.certificate} is never used: certificates before it have its names, with "
                "the same type of key"
            )
            yield KeyProblem((*path, *place), text)
