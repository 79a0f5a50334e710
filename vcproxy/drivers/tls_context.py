"""What a TLS side may say and must prove: contexts for `TlsFilter`, made from files.

Everything that can be wrong with the files is found here and said in plain words, so that checking
a configuration and using it are the same calls. Nothing here opens a connection, and nothing ever
asks the terminal for a password.

Both sides speak TLS 1.2 and 1.3, with OpenSSL's and Python's default ciphers; compression and
renegotiation are off.
"""

from __future__ import annotations

import ssl
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, NoReturn

from vcproxy.drivers.tls import NamedObject


class Identity(NamedTuple):
    """A certificate with its key: two PEM files, or the same file twice."""

    certificate: str | Path
    """The certificate, then its intermediates."""
    key: str | Path


def server_context(
    certificate: str | Path,
    key: str | Path,
    *,
    client_ca: str | Path | None = None,
    alpn: Sequence[str] = (),
    names: Mapping[str, Identity] | None = None,
) -> ssl.SSLContext:
    """Make the server's side.

    Args:
        certificate: PEM file: the certificate, then its intermediates.
        key: PEM file with its key, not encrypted.
        client_ca: PEM file of CAs; clients must then show a certificate that one of them signed.
        alpn: protocols, best first; the server's order decides. With a client that shares none the
            connection goes on without one (Python's ssl cannot send no_application_protocol).
        names: other certificates by SNI: an exact name, or "*.example" for any one label before
            it; case and a final dot make no difference (RFC 4343, RFC 1034 section 3.1). Unknown
            and absent names get the first certificate.

    Raises:
        ValueError: a file is missing or is not what it should be; the text names it.
    """

    def one(identity: Identity) -> ssl.SSLContext:
        # OpenSSL verifies clients and chooses ALPN by the context that SNI chose: all must agree
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        _harden(context, alpn)
        # TLS 1.3 tickets come after the handshake. A client that only uploads never reads them, and
        # its close then becomes a reset that destroys data on the way; their length also varies,
        # and no two worker processes could share them. Returning clients pay a full handshake.
        context.num_tickets = 0
        _show(context, identity)
        if client_ca is not None:
            _trust(context, client_ca)
            context.verify_mode = ssl.CERT_REQUIRED
        return context

    by_name = {_canonical(name): one(identity) for name, identity in (names or {}).items()}

    def choose(tls: ssl.SSLObject, asked: str | None, _: ssl.SSLContext) -> None:
        if asked is None or not asked.isprintable() or not isinstance(tls, NamedObject):
            return  # a name with control characters is none, and must not reach a log
        tls.sni = name = _canonical(asked)
        chosen = by_name.get(name) or by_name.get("*." + name.partition(".")[2])
        if chosen is not None:
            tls.context = chosen

    context = one(Identity(certificate, key))
    context.sslobject_class = NamedObject
    context.sni_callback = choose
    return context


def _canonical(name: str) -> str:
    return name.lower().removesuffix(".")


def client_context(
    *,
    ca: str | Path | None = None,
    verify: bool = True,
    certificate: str | Path | None = None,
    key: str | Path | None = None,
    alpn: Sequence[str] = (),
) -> ssl.SSLContext:
    """Make the client's side.

    Args:
        ca: PEM file of CAs to trust instead of the system's.
        verify: whether the server must prove the name or address that it was reached by.
        certificate: PEM file to show to servers that ask, with `key`.
        key: PEM file with its key, not encrypted.
        alpn: protocols to offer, best first.

    Raises:
        ValueError: a file is missing or is not what it should be; the text names it.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    _harden(context, alpn)
    if ca is not None:
        _trust(context, ca)
    elif verify:
        context.load_default_certs()
    if not verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if certificate is not None and key is not None:
        _show(context, Identity(certificate, key))
    elif certificate is not None or key is not None:
        raise ValueError("a client certificate needs both: certificate and key")
    return context


def _harden(context: ssl.SSLContext, alpn: Sequence[str]) -> None:
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_COMPRESSION
    if alpn:
        try:
            context.set_alpn_protocols(list(alpn))
        except (ssl.SSLError, UnicodeError):
            raise ValueError(f"alpn {list(alpn)}: names are 1 to 255 ASCII bytes") from None


def _show(context: ssl.SSLContext, identity: Identity) -> None:
    certificate, key = identity
    _expect(certificate, "certificate", "CERTIFICATE")
    _expect(key, "key", "PRIVATE KEY")

    def refuse() -> NoReturn:
        raise ValueError(f"key {key}: it is encrypted; give a key without a password")

    try:
        context.load_cert_chain(certificate, key, refuse)
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            raise ValueError(
                f"key {key}: it does not belong to certificate {certificate}"
            ) from None
        raise ValueError(
            f"certificate {certificate} with key {key}: cannot be used ({error.reason or error})"
        ) from None


def _trust(context: ssl.SSLContext, ca: str | Path) -> None:
    _expect(ca, "ca", "CERTIFICATE")
    try:
        context.load_verify_locations(ca)
    except ssl.SSLError as error:
        raise ValueError(f"ca {ca}: cannot be used ({error.reason or error})") from None


def _expect(path: str | Path, what: str, kind: str) -> None:
    """Refuse a file that is absent or plainly something else: OpenSSL would not say which."""
    try:
        content = Path(path).read_bytes()
    except OSError as error:
        raise ValueError(f"{what} {path}: {error.strerror}") from None
    if f"{kind}-----".encode() not in content:
        raise ValueError(f"{what} {path}: no PEM {kind.lower()} in it")
