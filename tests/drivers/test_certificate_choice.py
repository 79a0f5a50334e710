"""Which certificate a client gets: by the name that it requests, and by the keys it supports."""

from __future__ import annotations

import os
import ssl
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from trustme import CA, KeyType

from tests.drivers.test_tls import connected
from vcproxy.drivers.certificate import read_facts
from vcproxy.drivers.certificate_choice import Identity, choose, key_type
from vcproxy.drivers.handshake_parameters import HandshakeParameters
from vcproxy.drivers.tls_context import client_context, server_context

EC, RSA = KeyType.ECDSA, KeyType.RSA


class Shelf:
    """Identities with certificates of one authority."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._authority = CA()
        self.ca = folder / "ca.pem"
        self._authority.cert_pem.write_to_path(self.ca)

    def issue(self, kind: KeyType, *names: str, cn: str | None = None) -> Identity:
        label = "-".join((kind.name, *names, cn or "")).replace("*", "any")
        identity = Identity(self._folder / f"{label}.pem", self._folder / f"{label}.key")
        issued = self._authority.issue_cert(*names, common_name=cn, key_type=kind)
        issued.cert_chain_pems[0].write_to_path(identity.certificate)
        issued.private_key_pem.write_to_path(identity.key)
        return identity


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Shelf:
    return Shelf(tmp_path_factory.mktemp("shelf"))


def shown(shelf: Shelf, server: ssl.SSLContext, name: str, signature: str = "") -> Sequence[str]:
    """Return the names of the certificate that a client gets; by default it supports all types."""
    ciphers = ["ECDHE-RSA-AES128-GCM-SHA256"] if signature == "RSA" else []
    if signature == "ECDSA":
        ciphers = ["ECDHE-ECDSA-AES128-GCM-SHA256"]
    parameters = HandshakeParameters(max_version="1.2" if signature else "1.3", ciphers=ciphers)
    client = client_context(ca=shelf.ca, check_name=False, parameters=parameters)
    certificate: dict[str, Any] | None = connected(client, server, name)[0]._object.getpeercert()
    assert certificate is not None
    return [str(value) for _, value in certificate["subjectAltName"]]


def test_the_names_are_those_of_the_certificates(shelf: Shelf) -> None:
    default, a = shelf.issue(RSA, "default.example"), shelf.issue(RSA, "a.example", "b.example")
    wild = shelf.issue(RSA, "*.example")
    server = server_context(*default, certificates=[wild, a])
    for name, expected in {
        "A.Example": ["a.example", "b.example"],
        "b.example": ["a.example", "b.example"],
        "c.example": ["*.example"],
        "default.example": ["default.example"],
        "d.c.example": ["default.example"],
        "10.0.0.7": ["default.example"],
    }.items():
        assert shown(shelf, server, name) == expected


@pytest.mark.parametrize("name", ["a.example", "b.example", "unknown.example", "10.0.0.7"])
def test_a_name_has_one_certificate_of_each_type_of_key(shelf: Shelf, name: str) -> None:
    default, other = shelf.issue(RSA, "a.example"), shelf.issue(EC, "a.example", "b.example")
    server = server_context(*default, certificates=[other])
    if name != "b.example":
        assert shown(shelf, server, name, "RSA") == ["a.example"]
    assert shown(shelf, server, name, "ECDSA") == ["a.example", "b.example"]


def test_a_name_has_the_other_type_from_a_wildcard(shelf: Shelf) -> None:
    default = shelf.issue(RSA, "other.test")
    exact, wild = shelf.issue(EC, "w.example"), shelf.issue(RSA, "*.example")
    server = server_context(*default, certificates=[exact, wild])
    assert shown(shelf, server, "w.example") == ["w.example"]
    assert shown(shelf, server, "w.example", "RSA") == ["*.example"]
    assert shown(shelf, server, "v.example") == ["*.example"]


def test_the_first_of_one_name_and_type_is_used(shelf: Shelf) -> None:
    default = shelf.issue(EC, "first.example")
    one, two = (shelf.issue(EC, "same.example", more) for more in ("one.test", "two.test"))
    choice = choose(default, {"SAME.example.": two}, [one])
    assert choice.of("same.example") == (two,)
    assert choose(default, {}, [one, two]).of("same.example") == (one,)
    assert choose(default, {}, [one, two]).of("two.test") == (two,)


def test_another_certificate_is_no_default_unless_it_has_all_names(shelf: Shelf) -> None:
    default = shelf.issue(RSA, "x.example", "y.example")
    some, all_of_them = shelf.issue(EC, "x.example"), shelf.issue(EC, "y.example", "x.example")
    assert choose(default, {}, [some]).default == (default,)
    assert choose(default, {}, [some, all_of_them]).default == (default, all_of_them)


def test_without_others_the_names_of_a_certificate_do_not_count(tmp_path: Path) -> None:
    missing = Identity(tmp_path / "none.pem", tmp_path / "none.key")
    choice = choose(missing, {"*.example": missing})
    assert choice.of("a.example") == choice.of("b.a.example") == (missing,)


def test_a_common_name_counts_where_there_are_no_others(tmp_path: Path) -> None:
    old, default = Identity(tmp_path / "old.pem", tmp_path / "old.key"), tmp_path / "default"
    for name, identity in (("old.example", old), ("x.example", Identity(default, default))):
        command = (
            f"openssl req -x509 -newkey rsa:2048 -nodes -subj /CN={name} -keyout key -out cert"
        )
        subprocess.run(command.split(), check=True, capture_output=True, cwd=tmp_path)
        key, certificate = (tmp_path / "key").read_bytes(), (tmp_path / "cert").read_bytes()
        Path(identity.key).write_bytes(key + certificate)
        Path(identity.certificate).write_bytes(certificate + key)
    choice = choose(Identity(default, default), {}, [old])
    assert choice.of("old.example") == (old,)


@pytest.mark.parametrize(
    ("key", "kind"),
    [
        (rsa.generate_private_key(65537, 2048), "RSA"),
        (ec.generate_private_key(ec.SECP256R1()), "EC"),
        (ec.generate_private_key(ec.SECP521R1()), "EC"),
        (ed25519.Ed25519PrivateKey.generate(), "Ed25519"),
        (ed448.Ed448PrivateKey.generate(), "Ed448"),
    ],
)
@pytest.mark.parametrize("form", ["PKCS8", "TraditionalOpenSSL"])
def test_the_type_of_a_key(tmp_path: Path, key: rsa.RSAPrivateKey, kind: str, form: str) -> None:
    if form == "TraditionalOpenSSL" and kind.startswith("Ed"):
        return  # RFC 8410 has only the other form
    content = key.private_bytes(
        serialization.Encoding.PEM,
        getattr(serialization.PrivateFormat, form),
        serialization.NoEncryption(),
    )
    path = tmp_path / "key"
    path.write_bytes(
        b"-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n"
    )
    path.write_bytes(path.read_bytes() + content)
    assert key_type(path) == kind


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (None, "key {}: No such file or directory"),
        ("hello", "key {}: contains no PEM private key"),
        (
            "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
            "key {}: its type is not known: use RSA, EC or Ed25519",
        ),
        (
            "-----BEGIN PRIVATE KEY-----\n=A!\n-----END PRIVATE KEY-----\n",
            "key {}: its type is not known: use RSA, EC or Ed25519",
        ),
    ],
)
def test_a_key_without_a_type(tmp_path: Path, content: str | None, text: str) -> None:
    path = tmp_path / "key"
    if content is not None:
        path.write_text(content)
    with pytest.raises(ValueError, match=r"^key") as refused:
        key_type(path)
    assert str(refused.value) == text.format(path)


def test_a_fifo_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(ValueError, match=r"fifo: it is a FIFO or a socket, not a file$"):
        key_type(tmp_path / "fifo")
    assert read_facts(tmp_path / "fifo") is None


@pytest.mark.parametrize(
    ("faulty", "text"),
    [
        ("certificate", "certificate {}/faulty: contains no PEM certificate"),
        ("key", "key {}/faulty: contains no PEM private key"),
    ],
)
def test_a_faulty_file_is_named(shelf: Shelf, tmp_path: Path, faulty: str, text: str) -> None:
    default, other = shelf.issue(RSA, "a.example"), shelf.issue(EC, "b.example")
    (tmp_path / "faulty").write_text("hello")
    wrong = other._replace(**{faulty: tmp_path / "faulty"})
    for arguments in ((default, [wrong]), (wrong, [default])):
        with pytest.raises(ValueError, match=r".") as refused:
            server_context(*arguments[0], certificates=arguments[1])
        assert str(refused.value) == text.format(tmp_path)
