"""PeerCertificate: what a client's certificate says, for HTTP fields and logs.

Tested in tests/drivers/test_tls.py and tests/e2e/test_tls_settings.py.
"""

from __future__ import annotations

from typing import NamedTuple


class PeerCertificate(NamedTuple):
    """A certificate that was verified in a TLS handshake."""

    subject: str
    """As in RFC 4514, last name first."""
    issuer: str
    """The subject of the authority that has signed it, in the same form."""
    serial: str
    """Its serial number at this authority: hexadecimal digits in upper case."""
    fingerprint: str
    """SHA-256 of the certificate: 64 hexadecimal digits in lower case."""
    names: tuple[str, ...]
    """The names, mail addresses, URIs and IP addresses that it contains (subjectAltName)."""
