"""The contents of a certificate, for operators. Needs the library cryptography.

Tested in tests/app/commands/test_check_certificate_command.py.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from ipaddress import ip_address

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID

_PARTS = (
    ("common-name", NameOID.COMMON_NAME),
    ("country-name", NameOID.COUNTRY_NAME),
    ("locality-name", NameOID.LOCALITY_NAME),
    ("state-or-province-name", NameOID.STATE_OR_PROVINCE_NAME),
    ("organization-name", NameOID.ORGANIZATION_NAME),
    ("organizational-unit", NameOID.ORGANIZATIONAL_UNIT_NAME),
    ("email-address", NameOID.EMAIL_ADDRESS),
)
"""The fields of issuer and subject, with the original's names (eventdispatcher.md 7)."""


class UnreadableCertificate(Exception):
    """It is not a certificate; the text gives the reason."""


def from_file(content: bytes) -> list[x509.Certificate]:
    """Return the certificates of a file: PEM, all that it contains, or DER.

    Raises UnreadableCertificate.
    """
    try:
        if b"-----BEGIN" in content:
            return x509.load_pem_x509_certificates(content)
        return [x509.load_der_x509_certificate(content)]
    except ValueError as error:
        reason = "it is a private key" if b" PRIVATE KEY-----" in content else error
        raise UnreadableCertificate(f"contains no certificate, PEM or DER: {reason}") from None


def from_server(chain: Sequence[bytes]) -> list[x509.Certificate]:
    """Return the certificates that a server has presented, DER. Raises UnreadableCertificate."""
    try:
        return [x509.load_der_x509_certificate(each) for each in chain]
    except ValueError as error:
        raise UnreadableCertificate(f"its certificate cannot be read: {error}") from None


def title(certificate: x509.Certificate) -> str:
    """Return a certificate's subject, in one line (RFC 4514)."""
    return certificate.subject.rfc4514_string() or ", ".join(names(certificate)) or "no subject"


def names(certificate: x509.Certificate) -> list[str]:
    """Return the host names and addresses that a certificate is for (RFC 5280, 4.2.1.6)."""
    try:
        found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (x509.ExtensionNotFound, x509.DuplicateExtension, ValueError):
        return []
    addresses = map(str, found.get_values_for_type(x509.IPAddress))
    return [*found.get_values_for_type(x509.DNSName), *addresses]


def is_for(certificate: x509.Certificate, host: str) -> bool:
    """Return whether a certificate is for a host: a name, or an IP address (RFC 9525).

    Raises UnicodeError for a name that has no form in ASCII; certificates have names in that form.
    """
    wanted = host.lower().removesuffix(".")
    if not wanted.isascii():
        wanted = wanted.encode("idna").decode()
    try:
        wanted = str(ip_address(wanted))
    except ValueError:
        first, _, rest = wanted.partition(".")
        others = {f"*.{rest}"} if first and rest else set()
    else:
        others = set()
    return not {wanted, *others}.isdisjoint(each.lower() for each in names(certificate))


def shown_time(time: datetime) -> str:
    """Return a time as text."""
    return time.strftime("%Y-%m-%d %H:%M:%S UTC")


def fields(certificate: x509.Certificate) -> Iterator[tuple[str, str]]:
    """Yield the fields of a certificate that are not empty, by name, in a fixed order."""
    yield "not-before", shown_time(certificate.not_valid_before_utc)
    yield "not-after", shown_time(certificate.not_valid_after_utc)
    for of, name in (("issuer", certificate.issuer), ("subject", certificate.subject)):
        for part, kind in _PARTS:
            if values := [str(each.value) for each in name.get_attributes_for_oid(kind)]:
                yield f"{of}-{part}", ", ".join(values)
    if found := names(certificate):
        yield "subject-alternative-names", ", ".join(found)
    yield "serial-number", f"{certificate.serial_number:x}"
    yield "public-key", _key(certificate)
    if algorithm := certificate.signature_hash_algorithm:
        yield "signature-hash", algorithm.name
    yield "sha256-fingerprint", certificate.fingerprint(hashes.SHA256()).hex(":")


def _key(certificate: x509.Certificate) -> str:
    key = certificate.public_key()
    if isinstance(key, rsa.RSAPublicKey):
        return f"RSA, {key.key_size} bits"
    if isinstance(key, ec.EllipticCurvePublicKey):
        return f"EC, {key.curve.name}"
    return type(key).__name__.removesuffix("PublicKey").lstrip("_")
