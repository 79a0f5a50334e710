"""The certificate and key files that a configuration names, and problems with them.

Tested in tests/config/test_problems.py.
"""

from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

from vcproxy.config.certificate_folder import folders_in, pairs_in
from vcproxy.config.errors import KeyProblem
from vcproxy.config.plugin import Plugin
from vcproxy.config.positions import KeyPath
from vcproxy.config.schema import Settings
from vcproxy.config.tables.control import ControlTls
from vcproxy.config.tables.tls import KeyPair, ListenerTls, UpstreamTls
from vcproxy.input_files import read_file

TlsTable = ListenerTls | ControlTls | UpstreamTls


def key_pairs(tls: TlsTable) -> tuple[KeyPair, ...]:
    """Return the certificates that a table names, with their keys; those of a folder as it is now,
    none if it cannot be read."""
    if isinstance(tls, UpstreamTls):
        return () if tls.key_pair is None else (tls.key_pair,)
    if isinstance(tls, ControlTls):
        return (tls,)
    in_folder: tuple[KeyPair, ...] = ()
    if tls.certificate_folder is not None:
        with suppress(OSError):
            in_folder = pairs_in(tls.certificate_folder)
    return (tls, *tls.names.values(), *tls.certificates, *in_folder)


def files_of(tls: TlsTable) -> tuple[Path, ...]:
    """Return the files that a table names."""
    authorities = tls.ca if isinstance(tls, UpstreamTls) else tls.client_ca
    files = [file for pair in key_pairs(tls) for file in (pair.certificate, pair.key)]
    return tuple(dict.fromkeys(files if authorities is None else [*files, authorities]))


def certificate_files(settings: Settings, plugins: Iterable[Plugin]) -> tuple[Path, ...]:
    """Return the files and folders of all listeners, plugins and upstreams to watch, each once.

    The control watches its own.
    """
    tables: list[ListenerTls | UpstreamTls] = [
        listener.tls for listener in settings.listener if listener.tls is not None
    ]
    tables += [plugin.tls for plugin in plugins if plugin.needs_tls]
    tables += [upstream.tls for upstream in settings.upstream.values()]
    watched = [file for table in tables for file in files_of(table)]
    for table in tables:
        if isinstance(table, ListenerTls) and table.certificate_folder is not None:
            watched += folders_in(table.certificate_folder)
    return tuple(dict.fromkeys(watched))


def authorities(file: Path | None, path: KeyPath) -> Iterator[KeyProblem]:
    """Yield why a file of authorities cannot be used. None: no file is named."""
    if file is None:
        return
    if reason := _unreadable(file):
        yield KeyProblem(path, reason)
    elif not _holds_certificates(file):
        yield KeyProblem(path, f"{file} contains no certificate in PEM")


def key_pair(pair: KeyPair, path: KeyPath) -> Iterator[KeyProblem]:
    """Yield why a certificate and its key cannot be used."""
    files = {"certificate": pair.certificate, "key": pair.key}
    unreadable = {name: reason for name, file in files.items() if (reason := _unreadable(file))}
    for name, reason in unreadable.items():
        yield KeyProblem((*path, name), reason)
    if "certificate" not in unreadable and not _holds_certificates(pair.certificate):
        yield KeyProblem(
            (*path, "certificate"), f"{pair.certificate} contains no certificate in PEM"
        )
    elif not unreadable and (reason := _wrong_key(pair)):
        yield KeyProblem((*path, "key"), reason)


def _unreadable(file: Path) -> str | None:
    try:
        read_file(file)
        return None
    except OSError as error:
        return f"cannot read {file}: {error.strerror}"


def _holds_certificates(file: Path) -> bool:
    import ssl  # takes about 10 ms: imported only if TLS is configured

    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(file)
    except ssl.SSLError:
        return False
    return True


def _wrong_key(pair: KeyPair) -> str | None:
    """Return why the key cannot be used with its certificate, both readable; None: it can."""
    import ssl

    from vcproxy.drivers.tls_context import MISMATCHES

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
            f"{pair.key} is encrypted: store the key without a passphrase, readable only by vcproxy"
        )
    except ssl.SSLError as error:
        if error.reason in MISMATCHES:
            return f"{pair.key} is not the key of {pair.certificate}"
        if error.reason == "EE_KEY_TOO_SMALL":
            return f"the key of {pair.certificate} is too short to be safe: make a longer one"
        return f"{pair.key} contains no private key in PEM"
    return None
