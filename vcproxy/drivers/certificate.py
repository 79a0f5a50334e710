"""The parts of a certificate that are used, as `ssl` decodes it. Tested in
tests/drivers/test_tls.py and tests/drivers/test_tls_sessions.py.
"""

from __future__ import annotations

import re
import ssl
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import TYPE_CHECKING, Any, Final

from vcproxy.engine.peer_certificate import PeerCertificate

if TYPE_CHECKING:
    from pathlib import Path

_ssl: Any = ssl._ssl  # type: ignore[attr-defined]

_SHORT: Final = {
    "commonName": "CN",
    "countryName": "C",
    "domainComponent": "DC",
    "localityName": "L",
    "organizationName": "O",
    "organizationalUnitName": "OU",
    "stateOrProvinceName": "ST",
    "userId": "UID",
}

_NAMES: Final = frozenset({"DNS", "email", "URI", "IP Address"})
"""Kinds of names that `ssl` decodes to a text. A DirName is a tuple; others are "<unsupported>"."""


def subject(certificate: dict[str, Any]) -> str:
    """Return the certificate's subject in the form of RFC 4514, last name first; special characters
    are escaped."""
    return _name(certificate["subject"])


def _name(parts: Sequence[Sequence[tuple[str, str]]]) -> str:
    return ",".join(
        "+".join(f"{_SHORT.get(kind, kind)}={_escaped(value)}" for kind, value in together)
        for together in reversed(parts)
    )


def peer_certificate(certificate: dict[str, Any], der: bytes) -> PeerCertificate:
    """Return what a peer's certificate says. `der`: the certificate itself."""
    from hashlib import sha256  # few proxies verify clients

    return PeerCertificate(
        subject(certificate),
        _name(certificate["issuer"]),
        certificate["serialNumber"],
        sha256(der).hexdigest(),
        tuple(value for kind, value in certificate.get("subjectAltName", ()) if kind in _NAMES),
    )


def expiry(certificate: dict[str, Any]) -> float:
    """Return when the certificate expires, in seconds since 1970."""
    return ssl.cert_time_to_seconds(certificate["notAfter"])


def _begin(certificate: dict[str, Any]) -> float:
    return ssl.cert_time_to_seconds(certificate["notBefore"])


def is_for(certificate: dict[str, Any], name: str) -> bool:
    """Return whether a certificate contains a host name or an IP address (RFC 9525, 6.3).

    "*" in a certificate stands for one whole label, the first one. The common name does not count.
    """
    named = certificate.get("subjectAltName", ())
    try:
        address = ip_address(name)
    except ValueError:
        return has_name((each for kind, each in named if kind == "DNS"), name)
    return any(kind == "IP Address" and _same_address(each, address) for kind, each in named)


def has_name(names: Iterable[str], name: str) -> bool:
    """Return whether a host name is one of those in a certificate, wildcards included."""
    wanted = name.lower().removesuffix(".")
    first, _, rest = wanted.partition(".")
    accepted = {wanted, f"*.{rest}"} if first and rest else {wanted}
    return any(each.lower() in accepted for each in names)


def _same_address(text: str, address: IPv4Address | IPv6Address) -> bool:
    try:
        return ip_address(text) == address
    except ValueError:
        return False


@dataclass(frozen=True, slots=True)
class CertificateFacts:
    """What operators need to see of a certificate."""

    subject: str
    """See `subject`."""
    names: tuple[str, ...]
    """The names and IP addresses that it is valid for."""
    not_before: float
    """When it begins to be valid: seconds since 1970, UTC."""
    not_after: float
    """When it ends: seconds since 1970, UTC."""


def read_facts(file: Path) -> CertificateFacts | None:
    """Return what the first certificate of a PEM file has; None: there is none to be read."""
    certificate = _decoded(file)
    if certificate is None:
        return None
    names = tuple(value for _, value in certificate.get("subjectAltName", ()))
    return CertificateFacts(subject(certificate), names, _begin(certificate), expiry(certificate))


def read_names(file: Path) -> list[str]:
    """Return the host names of the first certificate of a PEM file: its common name, if it has no
    others. Raises ValueError if it cannot be read; the text names the file."""
    certificate = _decoded(file)
    if certificate is None:
        raise ValueError(f"certificate {file}: its names cannot be read")
    named = certificate.get("subjectAltName", ())
    if names := [value for kind, value in named if kind == "DNS"]:
        return names
    together = (each for group in certificate["subject"] for each in group)
    return [value for kind, value in together if kind == "commonName" and not named]


def _decoded(file: Path) -> dict[str, Any] | None:
    # Python offers no other way to decode a certificate that is not a peer's.
    decode: Callable[[str], dict[str, Any]] | None = getattr(_ssl, "_test_decode_cert", None)
    if decode is None or not file.is_file():  # OpenSSL waits at a FIFO for a writer
        return None
    try:
        return decode(str(file))
    except OSError:  # ssl.SSLError is one, too
        return None


def _escaped(value: str) -> str:
    return re.sub(r'[,+"\\<>;=\x00-\x1f\x7f]', lambda m: f"\\{ord(m[0]):02X}", value)
