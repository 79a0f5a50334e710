"""HandshakeParameters: what a handshake agrees on, between two filters, and names that are none."""

from __future__ import annotations

import ssl

import pytest

from tests.drivers.test_tls import Files, connected, files
from vcproxy.drivers.handshake_parameters import HandshakeParameters, set_ciphers, set_groups
from vcproxy.drivers.tls_context import client_context, server_context
from vcproxy.engine.failures import TlsError

__all__ = ["files"]

AES, CHACHA = "ECDHE-RSA-AES128-GCM-SHA256", "ECDHE-RSA-CHACHA20-POLY1305"


def agreed(
    files: Files, client: HandshakeParameters, server: HandshakeParameters
) -> tuple[str | None, str | None]:
    """Return version and cipher after a handshake; check that both sides have the same."""
    ends = connected(
        client_context(ca=files.ca, parameters=client),
        server_context(*files.site, parameters=server),
    )
    assert ends[0].parameters == ends[1].parameters
    return ends[0].parameters


ANY = HandshakeParameters()


@pytest.mark.parametrize(
    ("limited", "version"),
    [
        (HandshakeParameters(), "TLSv1.3"),
        (HandshakeParameters(max_version="1.2"), "TLSv1.2"),
        (HandshakeParameters(min_version="1.3"), "TLSv1.3"),
    ],
)
def test_the_versions(files: Files, limited: HandshakeParameters, version: str) -> None:
    assert agreed(files, limited, ANY)[0] == agreed(files, ANY, limited)[0] == version


def test_no_version_in_common(files: Files) -> None:
    with pytest.raises(TlsError, match="no TLS version in common"):
        agreed(files, HandshakeParameters("1.3"), HandshakeParameters(max_version="1.2"))


def test_the_first_cipher_of_the_server_is_used(files: Files) -> None:
    client = HandshakeParameters(max_version="1.2", ciphers=[AES, CHACHA])
    for ciphers in ([AES, CHACHA], [CHACHA, AES]):
        assert agreed(files, client, HandshakeParameters(ciphers=ciphers))[1] == ciphers[0]


def test_no_cipher_in_common(files: Files) -> None:
    client, server = (HandshakeParameters("1.2", "1.2", [each]) for each in (AES, CHACHA))
    with pytest.raises(TlsError, match="no cipher"):
        agreed(files, client, server)


def test_rules_of_openssl(files: Files) -> None:
    rules = HandshakeParameters(max_version="1.2", ciphers=["ECDHE+AESGCM", "!AES128", "@STRENGTH"])
    assert agreed(files, rules, ANY)[1] == "ECDHE-RSA-AES256-GCM-SHA384"


@pytest.mark.parametrize("name", ["X25519", "P-256", "secp256r1", "prime256v1", "P-384", "P-521"])
def test_one_group(files: Files, name: str) -> None:
    group = HandshakeParameters(groups=[name])
    assert agreed(files, group, group)[0] == "TLSv1.3"


def test_no_group_in_common(files: Files) -> None:
    with pytest.raises(TlsError, match=r"no group|no cipher, group or certificate"):
        agreed(files, HandshakeParameters(groups=["P-384"]), HandshakeParameters(groups=["X25519"]))


@pytest.mark.parametrize("rule", ["NULL", "ADH", "PSK-AES128-GCM-SHA256"])
def test_ciphers_without_encryption_or_certificate_are_refused(rule: str) -> None:
    """OpenSSL would take them, and no handshake of TLS 1.2 would succeed."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with pytest.raises(ValueError, match=f'^"{rule}" is no cipher of OpenSSL .* that encrypts and'):
        set_ciphers(context, [AES, rule])


def test_a_cipher_that_there_is_not() -> None:
    """OpenSSL ignores it in a list with others."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.set_ciphers(f"{AES}:ECDHE-RSA-AES129")
    with pytest.raises(ValueError, match=r'^"ECDHE-RSA-AES129" is no cipher of OpenSSL'):
        set_ciphers(context, [AES, "ECDHE-RSA-AES129"])
    with pytest.raises(ValueError, match="leaves no cipher"):
        set_ciphers(context, [AES, "!ALL"])


def test_a_group_that_there_is_not() -> None:
    with pytest.raises(ValueError, match=r'^"P-255": OpenSSL .* has no such group; it has X25519'):
        set_groups(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ["P-255"])


class OfPython315(ssl.SSLContext):
    """With the methods of Python 3.15."""

    calls: list[str]

    def set_ciphersuites(self, suites: str) -> None:
        self.calls.append(suites)

    def set_groups(self, groups: str) -> None:
        self.calls.append(groups)


def test_what_needs_python_3_15() -> None:
    suites, groups = ["TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384"], ["X25519", "P-256"]
    newer = OfPython315(ssl.PROTOCOL_TLS_SERVER)
    newer.calls = []
    set_ciphers(newer, suites)
    set_groups(newer, groups)
    assert newer.calls == ["TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384", "X25519:P-256"]
    if hasattr(ssl.SSLContext, "set_groups"):
        return
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with pytest.raises(ValueError, match=r"cannot be chosen before Python 3\.15"):
        set_ciphers(context, suites)
    with pytest.raises(ValueError, match=r"from Python 3\.15 on"):
        set_groups(context, groups)
