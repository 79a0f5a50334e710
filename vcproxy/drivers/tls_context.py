"""SSL contexts for `TlsFilter`, made from certificate and key files.

Every error in the files is found here and raised with a plain text, so that `vcproxy -t` and a
start make the same calls. Nothing here opens a connection or prompts for a password.

Both sides use TLS 1.2 and 1.3, with OpenSSL's and Python's default ciphers, unless other
HandshakeParameters are set; compression and renegotiation are off.

Clients may resume their sessions by tickets. The keys of the tickets are random, belong to the
context and cannot be read or set (Python's ssl): a session is resumed only by the listener and the
process that made it, and not after a reload. Python sets the session id context without which
OpenSSL refuses to resume where clients are verified.
"""

from __future__ import annotations

import ssl
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NoReturn

from vcproxy.drivers.certificate_choice import Identity, canonical, choose
from vcproxy.drivers.handshake_parameters import HandshakeParameters
from vcproxy.drivers.tls import SniObject
from vcproxy.drivers.tls_errors import unusable
from vcproxy.input_files import read_file

DEFAULTS = HandshakeParameters()


def server_context(
    certificate: str | Path,
    key: str | Path,
    *,
    client_ca: str | Path | None = None,
    client_optional: bool = False,
    alpn: Sequence[str] = (),
    names: Mapping[str, Identity] | None = None,
    certificates: Sequence[Identity] = (),
    parameters: HandshakeParameters = DEFAULTS,
) -> ssl.SSLContext:
    """Return the context of a server.

    Args:
        certificate: PEM file: the certificate, followed by its intermediates.
        key: PEM file with its key, not encrypted.
        client_ca: PEM file of CAs; clients must then send a certificate signed by one of them.
        client_optional: with `client_ca`, clients may also send no certificate.
        alpn: protocols in order of preference; the server's order decides. If a client offers none
            of them, the connection continues without one (Python's ssl cannot send
            no_application_protocol).
        names: further certificates by SNI: an exact name, or "*.example" for one label before it;
            case and a final dot make no difference (RFC 4343, RFC 1034 section 3.1). Unknown and
            absent names get the first certificate.
        certificates: further certificates for the names that they contain: see `choose`.
        parameters: what a handshake may agree on.

    Raises:
        ValueError: a file is missing or has the wrong content; the text names the file.
    """

    def made(identities: Sequence[Identity]) -> ssl.SSLContext:
        # After SNI, OpenSSL uses the selected context for ALPN and for verifying clients: all
        # contexts need the same settings.
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        _harden(context, alpn, parameters)
        for identity in identities:
            _load_identity(context, identity)
        if client_ca is not None:
            _load_ca(context, client_ca)
            context.verify_mode = ssl.CERT_OPTIONAL if client_optional else ssl.CERT_REQUIRED
        return context

    default = Identity(certificate, key)
    for each in (default, *certificates) if certificates else ():
        _require_pem(each.certificate, "certificate", "CERTIFICATE")
    choice = choose(default, names or {}, certificates)
    used = dict.fromkeys((choice.default, *choice.by_name.values()))
    contexts = {identities: made(identities) for identities in used}

    def select_certificate(tls: ssl.SSLObject, requested: str | None, _: ssl.SSLContext) -> None:
        if requested is None or not requested.isprintable() or not isinstance(tls, SniObject):
            return  # a name with control characters is invalid, and must not be logged
        tls.sni = name = canonical(requested)
        selected = contexts[choice.of(name)]
        if selected is not context:
            tls.context = selected

    context = contexts[choice.default]
    context.sslobject_class = SniObject
    context.sni_callback = select_certificate
    return context


def client_context(
    *,
    ca: str | Path | None = None,
    verify: bool = True,
    check_name: bool = True,
    certificate: str | Path | None = None,
    key: str | Path | None = None,
    alpn: Sequence[str] = (),
    parameters: HandshakeParameters = DEFAULTS,
) -> ssl.SSLContext:
    """Return the context of a client.

    Args:
        ca: PEM file of CAs to trust instead of the system's.
        verify: whether the server's certificate must be valid.
        check_name: whether it must also be valid for the name or address used, with `verify`.
        certificate: PEM file to send to servers that request one, with `key`.
        key: PEM file with its key, not encrypted.
        alpn: protocols to offer, in order of preference.
        parameters: what a handshake may agree on.

    Raises:
        ValueError: a file is missing or has the wrong content; the text names the file.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    _harden(context, alpn, parameters)
    if ca is not None:
        _load_ca(context, ca)
    elif verify:
        context.load_default_certs()
    context.check_hostname = verify and check_name
    if not verify:
        context.verify_mode = ssl.CERT_NONE
    if certificate is not None and key is not None:
        _load_identity(context, Identity(certificate, key))
    elif certificate is not None or key is not None:
        raise ValueError("a client certificate needs both certificate and key")
    return context


def _harden(context: ssl.SSLContext, alpn: Sequence[str], parameters: HandshakeParameters) -> None:
    parameters.apply(context)
    context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_COMPRESSION
    if alpn:
        try:
            context.set_alpn_protocols(list(alpn))
        except (ssl.SSLError, UnicodeError):
            raise ValueError(f"alpn {list(alpn)}: a name must have 1 to 255 ASCII bytes") from None


MISMATCHES = ("KEY_VALUES_MISMATCH", "KEY_TYPE_MISMATCH", "NO_CERTIFICATE_ASSIGNED")
"""What OpenSSL reports of a key that is not that of the certificate. The last one: an ECDSA key
with an RSA certificate, or the other way round."""


def _load_identity(context: ssl.SSLContext, identity: Identity) -> None:
    certificate, key = identity
    _require_pem(certificate, "certificate", "CERTIFICATE")
    _require_pem(key, "key", "PRIVATE KEY")

    def refuse() -> NoReturn:
        raise ValueError(f"key {key}: encrypted; use a key without a password")

    try:
        context.load_cert_chain(certificate, key, refuse)
    except ssl.SSLError as error:
        if error.reason in MISMATCHES:
            raise ValueError(f"key {key}: does not belong to certificate {certificate}") from None
        raise ValueError(
            f"certificate {certificate} with key {key}: cannot be used ({unusable(error)})"
        ) from None


def _load_ca(context: ssl.SSLContext, ca: str | Path) -> None:
    _require_pem(ca, "ca", "CERTIFICATE")
    try:
        context.load_verify_locations(ca)
    except ssl.SSLError as error:
        raise ValueError(f"ca {ca}: cannot be used ({unusable(error)})") from None


def _require_pem(path: str | Path, what: str, kind: str) -> None:
    """Raise ValueError for a file that is missing or has no such PEM block: OpenSSL's error would
    not name the file."""
    try:
        content = read_file(Path(path))
    except OSError as error:
        raise ValueError(f"{what} {path}: {error.strerror}") from None
    if f"{kind}-----".encode() not in content:
        raise ValueError(f"{what} {path}: contains no PEM {kind.lower()}")
