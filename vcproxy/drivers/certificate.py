"""The parts of a peer's certificate that are used, as `ssl` decodes it. Tested in
tests/drivers/test_tls.py and tests/drivers/test_tls_sessions.py.
"""

from __future__ import annotations

import re
import ssl
from typing import Any, Final

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


def subject(certificate: dict[str, Any]) -> str:
    """Return the certificate's subject in the form of RFC 4514, last name first; special characters
    are escaped."""
    return ",".join(
        "+".join(f"{_SHORT.get(kind, kind)}={_escaped(value)}" for kind, value in together)
        for together in reversed(certificate["subject"])
    )


def expiry(certificate: dict[str, Any]) -> float:
    """Return when the certificate expires, in seconds since 1970."""
    return ssl.cert_time_to_seconds(certificate["notAfter"])


def _escaped(value: str) -> str:
    return re.sub(r'[,+"\\<>;=\x00-\x1f\x7f]', lambda m: f"\\{ord(m[0]):02X}", value)
