"""The certificates and keys in a folder, by the names of the files.

Tested in tests/config/test_certificate_folder.py.
"""

from collections.abc import Iterator
from pathlib import Path

from vcproxy.config.tables.tls import KeyPair

_CHAIN, _KEY = "fullchain.pem", "privkey.pem"
"""The names in the folders of certbot."""


def pairs_in(folder: Path) -> tuple[KeyPair, ...]:
    """Return the certificates of a folder with their keys, in the order of their names.

    See ListenerTls.certificate_folder. A key may not be there. Raises OSError.
    """
    return tuple(
        KeyPair.model_construct(certificate=certificate, key=key)
        for certificate, key in _pairs(folder)
    )


def folders_in(folder: Path) -> tuple[Path, ...]:
    """Return a folder and those in it that may contain a pair. A folder that cannot be read is
    returned alone."""
    try:
        return (folder, *(each for each in _entries(folder) if each.is_dir()))
    except OSError:
        return (folder,)


def _pairs(folder: Path) -> Iterator[tuple[Path, Path]]:
    for entry in _entries(folder):
        if entry.is_dir():
            chain, key = entry / _CHAIN, entry / _KEY
            if chain.exists() and key.exists():
                yield chain, key
        elif entry.suffix in (".pem", ".crt") and _has(entry, b"CERTIFICATE-----"):
            beside = entry.with_suffix(".key")
            yield entry, beside if beside.exists() or not _has(entry, b"KEY-----") else entry


def _entries(folder: Path) -> list[Path]:
    """Return what is in a folder; not what is hidden, as the folders of volumes in Kubernetes."""
    return sorted(each for each in folder.iterdir() if not each.name.startswith("."))


def _has(file: Path, block: bytes) -> bool:
    """Whether a file contains the end of such a line; one that cannot be read is to be reported."""
    if file.exists() and not file.is_file():
        return False  # such as a FIFO for something else
    try:
        return block in file.read_bytes()
    except OSError:
        return True
