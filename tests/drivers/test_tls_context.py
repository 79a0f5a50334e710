"""Faults of certificate and key files, and their error texts."""

from pathlib import Path

import pytest
import trustme
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)

from vcproxy.drivers.certificate_choice import Identity
from vcproxy.drivers.tls_context import client_context, server_context

DAMAGED = "cannot be used (damaged or incomplete)"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pem")
    ca = trustme.CA()
    leaf, other = ca.issue_cert("site.example"), ca.issue_cert("other.example")
    ca.cert_pem.write_to_path(str(folder / "ca"))
    leaf.cert_chain_pems[0].write_to_path(str(folder / "cert"))
    leaf.private_key_pem.write_to_path(str(folder / "key"))
    leaf.private_key_and_cert_chain_pem.write_to_path(str(folder / "both"))
    other.private_key_pem.write_to_path(str(folder / "other_key"))
    rsa = ca.issue_cert("site.example", key_type=trustme.KeyType.RSA)
    rsa.private_key_pem.write_to_path(str(folder / "rsa_key"))
    key = load_pem_private_key(leaf.private_key_pem.bytes(), None)
    locked = key.private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"secret")
    )
    (folder / "locked_key").write_bytes(locked)
    (folder / "text").write_text("hello")
    body = "-----BEGIN {0}-----\nAAAA\n-----END {0}-----\n"
    (folder / "torn_cert").write_text(body.format("CERTIFICATE"))
    (folder / "torn_key").write_text(body.format("PRIVATE KEY"))
    return folder


@pytest.mark.parametrize(
    ("certificate", "key", "text"),
    [
        ("absent", "key", "certificate {}/absent: No such file or directory"),
        ("cert", "absent", "key {}/absent: No such file or directory"),
        (".", "key", "certificate {}: Is a directory"),
        ("text", "key", "certificate {}/text: contains no PEM certificate"),
        ("key", "cert", "certificate {}/key: contains no PEM certificate"),
        ("cert", "text", "key {}/text: contains no PEM private key"),
        ("cert", "other_key", "key {0}/other_key: does not belong to certificate {0}/cert"),
        ("cert", "rsa_key", "key {0}/rsa_key: does not belong to certificate {0}/cert"),
        ("cert", "locked_key", "key {}/locked_key: encrypted; use a key without a password"),
        ("torn_cert", "key", f"certificate {{0}}/torn_cert with key {{0}}/key: {DAMAGED}"),
        ("cert", "torn_key", f"certificate {{0}}/cert with key {{0}}/torn_key: {DAMAGED}"),
    ],
)
def test_a_faulty_certificate_or_key(folder: Path, certificate: str, key: str, text: str) -> None:
    identity = Identity(folder / certificate, folder / key)
    texts = []
    with pytest.raises(ValueError, match=r".") as refused:
        server_context(*identity)
    texts.append(str(refused.value))
    with pytest.raises(ValueError, match=r".") as refused:
        server_context(folder / "cert", folder / "key", names={"b.example": identity})
    texts.append(str(refused.value))
    with pytest.raises(ValueError, match=r".") as refused:
        client_context(certificate=identity.certificate, key=identity.key)
    texts.append(str(refused.value))
    assert texts[0].startswith(text.format(folder))
    assert texts == texts[:1] * 3


@pytest.mark.parametrize(
    ("ca", "text"),
    [
        ("absent", "ca {}/absent: No such file or directory"),
        ("key", "ca {}/key: contains no PEM certificate"),
        ("torn_cert", f"ca {{}}/torn_cert: {DAMAGED}"),
    ],
)
def test_a_faulty_ca(folder: Path, ca: str, text: str) -> None:
    with pytest.raises(ValueError, match=r".") as refused:
        server_context(folder / "cert", folder / "key", client_ca=folder / ca)
    assert str(refused.value).startswith(text.format(folder))
    with pytest.raises(ValueError, match=r".") as refused:
        client_context(ca=folder / ca)
    assert str(refused.value).startswith(text.format(folder))


def test_one_file_may_hold_certificate_and_key(folder: Path) -> None:
    server_context(str(folder / "both"), str(folder / "both"), client_ca=str(folder / "ca"))


def test_a_client_certificate_needs_its_key(folder: Path) -> None:
    with pytest.raises(ValueError, match="needs both certificate and key"):
        client_context(certificate=folder / "cert")
    with pytest.raises(ValueError, match="needs both certificate and key"):
        client_context(key=folder / "key")


@pytest.mark.parametrize("name", ["", "x" * 256, "é"])
def test_a_faulty_alpn_name(name: str) -> None:
    with pytest.raises(ValueError, match="a name must have 1 to 255 ASCII bytes"):
        client_context(alpn=["h2", name])
