"""The tables of TLS: settings that contradict one another, and files that cannot be used."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
import trustme
from trustme import KeyType

from vcproxy.config.effective import effective
from vcproxy.config.loader import Configuration

Complain = Callable[[str], list[str]]
Accept = Callable[[str], Configuration]

LISTENER = """\
[[listener]]
name = "web"
bind = "tls://127.0.0.1:0"
plugin = "own.py:Greeter"
[listener.tls]
certificate = "a.pem"
key = "a.key"
"""

SERVERS = """\
[[listener]]
name = "web"
bind = "tcp://127.0.0.1:0"
plugin = "own.py:Web"
upstream = "app"
[upstream.app]
servers = ["tls://10.0.0.7:443"]
[upstream.app.tls]
"""


@pytest.fixture(autouse=True)
def certificate(folder: Path, authority: trustme.CA) -> None:
    for name, kind in (("a", KeyType.ECDSA), ("b", KeyType.ECDSA), ("rsa", KeyType.RSA)):
        issued = authority.issue_cert("localhost", key_type=kind)
        issued.private_key_pem.write_to_path(folder / f"{name}.key")
        issued.cert_chain_pems[0].write_to_path(folder / f"{name}.pem")


def texts(problems: list[str]) -> list[str]:
    return [each.split(": ", 1)[1] for each in problems]


def test_ciphers_and_groups_as_lists_or_as_texts(accepted: Accept) -> None:
    one = accepted(f'{LISTENER}ciphers = "ECDHE+AESGCM:!AES256"\ngroups = "X25519"\n')
    other = accepted(f'{LISTENER}ciphers = ["ECDHE+AESGCM", "!AES256"]\ngroups = ["X25519"]\n')
    assert one == other
    tls = one.settings.listener[0].tls
    assert tls is not None
    assert (tls.ciphers, tls.groups) == (("ECDHE+AESGCM", "!AES256"), ("X25519",))


@pytest.mark.parametrize("table", [LISTENER, SERVERS], ids=["clients", "servers"])
@pytest.mark.parametrize(
    ("keys", "problem"),
    [
        ('min_version = "1.1"', 'min_version: must be "1.2" or "1.3", not "1.1"'),
        ("max_version = 1.3", 'max_version: must be "1.2" or "1.3", not 1.3'),
        (
            'min_version = "1.3"\nmax_version = "1.2"',
            "min_version: is higher than max_version: no version is left: write 1.2 or less",
        ),
        (
            'min_version = "1.3"\nciphers = "ECDHE+AESGCM"',
            'ciphers: "ECDHE+AESGCM" has no effect with min_version = "1.3": it is a cipher of '
            "TLS 1.2",
        ),
        ('ciphers = "AES129"', 'ciphers: "AES129" is no cipher of OpenSSL'),
        ('ciphers = "!ALL"', 'ciphers: "!ALL" leaves no cipher: see openssl ciphers'),
        ('ciphers = ["HIGH:MEDIUM"]', 'ciphers.0: "HIGH:MEDIUM" is not a name: write one name'),
        ("ciphers = 1", "ciphers: must be a list, not a whole number"),
        ('groups = "P-257"', 'groups: "P-257": OpenSSL'),
        ('groups = [""]', 'groups.0: "" is not a name: write one name in each text of the list'),
    ],
)
def test_what_a_handshake_cannot_agree_on(
    complaints: Complain, table: str, keys: str, problem: str
) -> None:
    path = "listener.web.tls." if table is LISTENER else "upstream.app.tls."
    (text,) = texts(complaints(f"{table}{keys}\n"))
    assert text.startswith(path + problem)


@pytest.mark.parametrize(
    ("keys", "problem"),
    [
        ('certificate = "a.pem"', "key: is missing: the certificate needs its private key"),
        ('key = "a.key"', "certificate: is missing: the key needs its certificate"),
        ('certificate = "a.pem"\nkey = "b.key"', "key: b.key is not the key of a.pem"),
        ('certificate = "a.pem"\nkey = "rsa.key"', "key: rsa.key is not the key of a.pem"),
        ('certificate = "rsa.pem"\nkey = "a.key"', "key: a.key is not the key of rsa.pem"),
        (
            'certificate = "none.pem"\nkey = "a.key"',
            "certificate: cannot read none.pem: No such file or directory",
        ),
        ('verify_name = ""', "verify_name: must not be empty: leave it out"),
        (
            'verify = false\nverify_name = "a.example"',
            "verify_name: has no effect with verify = false: remove one of them",
        ),
        ('server_name = "bücher.example"', 'server_name: "bücher.example" is not a host name'),
        ('server_name = "a b"', 'server_name: "a b" is not a host name: write it in ASCII, as'),
        (
            'alpn = ["http/1.1", "h2"]',
            'alpn.1: Web does not support "h2": remove it, and servers use another protocol',
        ),
    ],
)
def test_what_cannot_be_sent_to_servers(complaints: Complain, keys: str, problem: str) -> None:
    (text,) = texts(complaints(f"{SERVERS}{keys}\n"))
    assert text.startswith("upstream.app.tls." + problem)


def test_what_can_be_sent_to_servers(accepted: Accept) -> None:
    accepted(
        f'{SERVERS}certificate = "a.pem"\nkey = "a.key"\nserver_name = ""\n'
        'verify_name = "10.0.0.7"\nalpn = ["http/1.1"]\nresume = false\n'
    )


def test_the_effective_configuration_is_the_same(accepted: Accept, folder: Path) -> None:
    (folder / "certs").mkdir()
    keys = 'min_version = "1.2"\nmax_version = "1.2"\nciphers = "ECDHE+AESGCM"\ngroups = "X25519"\n'
    clients = (
        f'{LISTENER}{keys}client_ca = "a.pem"\nclient_verify = "optional"\n'
        'certificates = [{ certificate = "b.pem", key = "b.key" }]\ncertificate_folder = "certs"\n'
        'names = { "b.example" = { certificate = "b.pem", key = "b.key" } }\n'
    )
    servers = (
        f'{SERVERS}{keys}certificate = "a.pem"\nkey = "a.key"\nserver_name = ""\n'
        'verify_name = "b.example"\nalpn = ["http/1.1"]\nresume = false\nca = "a.pem"\n'
    )
    for text in (clients, servers):
        configuration = accepted(text)
        assert accepted(effective(configuration)) == configuration


def test_a_certificate_that_is_a_fifo_is_refused(complaints: Complain, folder: Path) -> None:
    os.mkfifo(folder / "fifo.pem")
    (text,) = texts(complaints(LISTENER.replace("a.pem", "fifo.pem")))
    assert text.startswith("listener.web.tls.certificate: cannot read fifo.pem: it is a FIFO")
