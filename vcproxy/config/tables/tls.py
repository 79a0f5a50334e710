"""The tables of TLS: that of a listener, for its clients, and that of an upstream, for its servers.

Tested in tests/config/test_tls.py.
"""

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator

from vcproxy.config.values import FilePath, Table


def _protocol_name(name: str) -> str:
    if not name.isascii() or not 0 < len(name) < 256:  # the length is one byte (RFC 7301, 3.1)
        raise ValueError(f'"{name}" is not a protocol name: write 1 to 255 ASCII characters')
    return name


def _divided(value: object) -> object:
    """Return a list as a tuple, also one that is written as OpenSSL and others do, "A:B"."""
    if isinstance(value, str):
        return tuple(value.split(":"))
    return tuple(value) if isinstance(value, list) else value


def _one_name(name: str) -> str:
    if not re.fullmatch(r"[!-9;-~]+", name):  # without the colon
        raise ValueError(f'"{name}" is not a name: write one name in each text of the list')
    return name


def _server_name(name: str) -> str:
    if not re.fullmatch(r"[0-9A-Za-z*._:-]{0,255}", name):
        raise ValueError(f'"{name}" is not a host name: write it in ASCII, as "db.example"')
    return name


ProtocolName = Annotated[str, AfterValidator(_protocol_name)]

Protocols = tuple[ProtocolName, ...]
"""Names of application protocols (ALPN)."""

Names = Annotated[tuple[Annotated[str, AfterValidator(_one_name)], ...], BeforeValidator(_divided)]
"""Names of OpenSSL, as a list or as one text with colons."""

TlsName = Annotated[str, AfterValidator(_server_name)]
"""The name of a server, or its IP address."""


class KeyPair(Table):
    """A certificate and its private key, both PEM."""

    certificate: FilePath
    """The certificate, followed by the chain that leads to its root."""

    key: FilePath
    """The private key, not encrypted: the proxy cannot ask for a passphrase."""


class HandshakeTable(Table):
    """What a TLS handshake may agree on."""

    min_version: Literal["1.2", "1.3"] = "1.2"
    """The lowest version of TLS. 1.0 and 1.1 are not offered (RFC 8996)."""

    max_version: Literal["1.2", "1.3"] = "1.3"
    """The highest version of TLS."""

    ciphers: Names = ()
    """The ciphers for TLS 1.2, the preferred one first: names and rules of OpenSSL, as a list or
    as one text with colons. Those of TLS 1.3, "TLS_...", can be chosen from Python 3.15 on. Absent:
    the defaults of Python and OpenSSL."""

    groups: Names = ()
    """The groups (curves) for the key exchange, the preferred one first, as "X25519", "P-256",
    "X25519MLKEM768". Before Python 3.15 only one can be set. Absent: the defaults of OpenSSL."""


class ListenerTls(HandshakeTable, KeyPair):
    """The certificates of a listener on tls://, and what is required from clients."""

    client_ca: FilePath | None = None
    """Authorities, PEM: a client must present a certificate signed by one of them. Absent: clients
    need no certificate."""

    client_verify: Literal["required", "optional"] = "required"
    """With `client_ca`: "required", or "optional": a client may also present no certificate. One
    with a certificate that is not valid is refused in either case."""

    alpn: Protocols = ()
    """Application protocols offered, the preferred one first."""

    names: dict[str, KeyPair] = {}
    """Other certificates, by the server name that the client sends (SNI): "a.example", or
    "*.example" for one label before "example"."""

    certificates: tuple[KeyPair, ...] = ()
    """Other certificates, for the names that they contain: a name may have one of each type of key,
    as RSA and ECDSA. If two have the same name and type, the first one is used; `names`, and then
    `certificate`, come before these. One that has all names of `certificate`, and a key of another
    type, is also used for unknown names, and for clients that request none."""

    certificate_folder: FilePath | None = None
    """A folder with more of them: each NAME.pem or NAME.crt with a certificate, its key in NAME.key
    or in the same file, and each folder in it with fullchain.pem and privkey.pem, as certbot writes
    them. They come after `certificates`, in the order of their names. Files that are added are used
    without a reload."""


class UpstreamTls(HandshakeTable):
    """How servers on tls:// are verified, and what they are sent."""

    verify: bool = True
    """Whether servers need a valid certificate for their name. False: any server is accepted."""

    ca: FilePath | None = None
    """Trusted authorities, PEM. Absent: those of the system."""

    certificate: FilePath | None = None
    """The certificate that is sent to servers that request one, PEM, followed by the chain that
    leads to its root. It needs `key`. Absent: none is sent."""

    key: FilePath | None = None
    """The private key of `certificate`, PEM, not encrypted."""

    server_name: TlsName | None = None
    """The name that is sent to servers (SNI) and, without `verify_name`, verified. "": none is
    sent. Absent: the host of the server's address; an IP address is not sent (RFC 6066)."""

    verify_name: TlsName | None = None
    """The name or IP address that the certificate of a server must contain. Absent: `server_name`,
    or the host of the server's address."""

    alpn: Protocols = ()
    """Application protocols offered to servers, the preferred one first."""

    resume: bool = True
    """Whether the last TLS session with a server is resumed. False: each handshake is a full one,
    and verifies the certificate."""

    @property
    def key_pair(self) -> KeyPair | None:
        """The certificate that is sent, with its key; None: none is."""
        if self.certificate is None or self.key is None:
            return None
        return KeyPair.model_construct(certificate=self.certificate, key=self.key)
