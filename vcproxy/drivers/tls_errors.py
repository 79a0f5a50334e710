"""Plain texts for OpenSSL's errors. Tested in tests/drivers/test_tls.py."""

from __future__ import annotations

import re
import ssl
from typing import Final

from vcproxy.engine.failures import AlertReceived, CertificateRefused, TlsError

_MESSAGES: Final = {
    "HTTP_REQUEST": "the peer sent plain HTTP, not TLS",
    "HTTPS_PROXY_REQUEST": "the peer sent plain HTTP (CONNECT), not TLS",
    "WRONG_VERSION_NUMBER": "the peer does not speak TLS",
    "UNEXPECTED_MESSAGE": "the peer does not speak TLS, or violates its protocol",
    "UNSUPPORTED_PROTOCOL": "no TLS version in common with the peer",
    "VERSION_TOO_LOW": "no TLS version in common with the peer",
    "WRONG_SSL_VERSION": "no TLS version in common with the peer",
    "TLSV1_ALERT_PROTOCOL_VERSION": "no TLS version in common (reported by the peer)",
    "CALLBACK_FAILED": "the peer sent a server name that is not ASCII",
    "UNSUPPORTED_SSL_VERSION": "no TLS version in common with the peer",
    "BAD_PROTOCOL_VERSION_NUMBER": "the peer does not speak TLS",
    "BAD_RECORD_TYPE": "the peer does not speak TLS, or violates its protocol",
    "PACKET_LENGTH_TOO_LONG": "the peer does not speak TLS, or violates its protocol",
    "NO_SHARED_CIPHER": "no cipher in common with the peer",
    "NO_SUITABLE_KEY_SHARE": "no group for the key exchange in common with the peer",
    "NO_SUITABLE_GROUPS": "no group for the key exchange in common with the peer",
    "NO_SHARED_GROUPS": "no group for the key exchange in common with the peer",
    "NO_SHARED_SIGNATURE_ALGORITHMS": "no signature algorithm in common with the peer",
    "NO_SUITABLE_SIGNATURE_ALGORITHM": "no signature algorithm in common with the peer",
    "NO_APPLICATION_PROTOCOL": "no application protocol in common with the peer",
    "SSLV3_ALERT_HANDSHAKE_FAILURE": (
        "no cipher, group or certificate type in common (reported by the peer)"
    ),
    "PEER_DID_NOT_RETURN_A_CERTIFICATE": "the peer sent no certificate, and one is required",
    "TLSV13_ALERT_CERTIFICATE_REQUIRED": "the peer requires our certificate, and we have none",
    "TLSV1_ALERT_UNKNOWN_CA": "the peer refused our certificate: unknown CA",
    "SSLV3_ALERT_CERTIFICATE_EXPIRED": "the peer refused our certificate: expired",
    "SSLV3_ALERT_CERTIFICATE_REVOKED": "the peer refused our certificate: revoked",
    "SSLV3_ALERT_CERTIFICATE_UNKNOWN": "the peer refused our certificate",
    "SSLV3_ALERT_BAD_CERTIFICATE": "the peer refused our certificate: not valid",
    "SSLV3_ALERT_UNSUPPORTED_CERTIFICATE": "the peer refused our certificate: unsupported type",
    "TLSV1_UNRECOGNIZED_NAME": "the peer has no certificate for the requested server name",
    "TLSV1_ALERT_NO_APPLICATION_PROTOCOL": (
        "no application protocol in common (reported by the peer)"
    ),
    "DECRYPTION_FAILED_OR_BAD_RECORD_MAC": "the stream was damaged or forged in transit",
    "RECORD_LAYER_FAILURE": "the stream was damaged or forged in transit",  # from OpenSSL 3.5 on
    "SSLV3_ALERT_BAD_RECORD_MAC": (
        "the stream was damaged or forged in transit (reported by the peer)"
    ),
}

_UNUSABLE: Final = {
    "EE_KEY_TOO_SMALL": "its key is too short for OpenSSL's security level",
    "CA_KEY_TOO_SMALL": "the key of an authority is too short for OpenSSL's security level",
    "CA_MD_TOO_WEAK": "signed with a digest that is too weak for OpenSSL's security level",
    "UNKNOWN_CERTIFICATE_TYPE": "a key of a type that TLS does not have",
}
"""Why OpenSSL does not load a file that it can read. All other reasons are those of its PEM and
ASN.1 readers, which mostly name only themselves."""

_UNKNOWN_CA: Final = frozenset({2, 18, 19, 20, 21})
"""OpenSSL's verify codes (x509_vfy.h) for a chain that does not end at a trusted CA."""


def failure_of(error: ssl.SSLError) -> TlsError:
    """Return OpenSSL's error as a TlsError with a plain text."""
    if isinstance(error, ssl.SSLCertVerificationError):
        reason = error.verify_message
        if error.verify_code in _UNKNOWN_CA:
            reason = f"unknown CA ({reason})"
        return CertificateRefused(f"the peer's certificate is refused: {reason}")
    reason = _reason(error)
    text = _MESSAGES.get(reason, f"TLS failed: {reason or error}")
    return (AlertReceived if "ALERT" in reason else TlsError)(text)


def unusable(error: ssl.SSLError) -> str:
    """Return in plain words why OpenSSL cannot load a certificate, a key or authorities."""
    return _UNUSABLE.get(_reason(error), "damaged or incomplete")


def _reason(error: ssl.SSLError) -> str:
    """Return OpenSSL's name of an error's reason.

    A Python built for an older OpenSSL lacks the names of new reasons; they are in the text then:
    "[SSL] record layer failure (_ssl.c:2580)".
    """
    known: str | None = getattr(error, "reason", None)
    if known is not None:
        return known
    found = re.fullmatch(r"\[SSL\] (.+) \(_ssl\.c:\d+\)", error.strerror or "")
    return found[1].upper().replace(" ", "_") if found else ""
