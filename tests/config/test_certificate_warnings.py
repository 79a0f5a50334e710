"""Warnings about certificates and keys that are used nevertheless."""

from __future__ import annotations

import datetime
from collections.abc import Callable
from pathlib import Path

import pytest
import trustme
from trustme import KeyType

from vcproxy.config.loader import Configuration

Accept = Callable[[str], Configuration]

LISTENER = """\
[[listener]]
name = "web"
bind = "tls://127.0.0.1:0"
plugin = "own.py:Greeter"
tls = {{ certificate = "a.pem", key = "a.key"{} }}
"""


class Pairs:
    """Writes certificates and keys into the folder of a configuration."""

    def __init__(self, folder: Path, authority: trustme.CA) -> None:
        self.folder = folder
        self._authority = authority
        self.issue("a", "a.example")

    def issue(
        self, file: str, *names: str, days: float = 90, kind: KeyType = KeyType.ECDSA
    ) -> None:
        """Write FILE.pem and FILE.key, which end in `days`."""
        now = datetime.datetime.now(datetime.UTC)
        issued = self._authority.issue_cert(
            *names,
            not_before=now - datetime.timedelta(days=300),
            not_after=now + datetime.timedelta(days=days, minutes=5),
            key_type=kind,
        )
        (self.folder / file).parent.mkdir(exist_ok=True)
        issued.cert_chain_pems[0].write_to_path(self.folder / f"{file}.pem")
        key = self.folder / f"{file}.key"
        issued.private_key_pem.write_to_path(key)
        key.chmod(0o600)


@pytest.fixture
def pairs(folder: Path, authority: trustme.CA) -> Pairs:
    return Pairs(folder, authority)


def warned(configuration: Configuration) -> list[str]:
    folder = f"{configuration.file.parent}/"
    lines = [f"{each.path}: {each.message}" for each in configuration.warnings]
    return [line.replace(folder, "") for line in lines]


def test_nothing_is_said_of_a_good_pair(pairs: Pairs, accepted: Accept) -> None:
    assert warned(accepted(LISTENER.format(""))) == []


@pytest.mark.parametrize(
    ("days", "text"),
    [(13, "expires in 13 days: 2"), (1, "expires in 24 hours: 2"), (-3, "has expired, 2 days ago")],
)
def test_a_certificate_that_ends(pairs: Pairs, accepted: Accept, days: float, text: str) -> None:
    pairs.issue("a", "a.example", days=days)
    (line,) = warned(accepted(LISTENER.format("")))
    assert line.startswith(f"listener.web.tls.certificate: a.pem {text}")


@pytest.mark.parametrize("name", ["b.example", "*.example", "a.b.example"])
def test_a_certificate_for_another_name(pairs: Pairs, accepted: Accept, name: str) -> None:
    pairs.issue("b", "c.example", "d.test")
    other = f', names = {{ "{name}" = {{ certificate = "b.pem", key = "b.key" }} }}'
    path = f'listener.web.tls.names."{name}".certificate'
    assert warned(accepted(LISTENER.format(other))) == [
        f"{path}: b.pem is not for {name}, but for c.example, d.test: clients will refuse it"
    ]


@pytest.mark.parametrize("name", ["C.example", "*.test", "x.test"])
def test_a_certificate_for_its_name(pairs: Pairs, accepted: Accept, name: str) -> None:
    pairs.issue("b", "c.example", "*.test")
    other = f', names = {{ "{name}" = {{ certificate = "b.pem", key = "b.key" }} }}'
    assert warned(accepted(LISTENER.format(other))) == []


def test_a_certificate_that_is_never_used(pairs: Pairs, accepted: Accept) -> None:
    pairs.issue("b", "a.example", kind=KeyType.RSA)
    pairs.issue("c", "a.example")
    pairs.issue("certs/d", "a.example", kind=KeyType.RSA)
    others = ", ".join(f'{{ certificate = "{name}.pem", key = "{name}.key" }}' for name in "bc")
    text = "is never used: certificates before it have its names, with the same type of key"
    listener = LISTENER.format(f', certificates = [{others}], certificate_folder = "certs"')
    assert warned(accepted(listener)) == [
        f"listener.web.tls.certificates.1: c.pem {text}",
        f"listener.web.tls.certificate_folder: certs/d.pem {text}",
    ]


def test_authorities_that_verify_nothing(accepted: Accept, folder: Path, pairs: Pairs) -> None:
    listener = '[[listener]]\nname = "web"\nbind = "tcp://127.0.0.1:0"\nplugin = "own.py:Either"\n'
    servers = 'upstream = "db"\n[upstream.db]\nservers = ["tls://10.0.0.7:1"]\n'
    tls = 'tls = { ca = "a.pem", verify = false }\n'
    assert warned(accepted(listener + servers + tls)) == [
        "upstream.db.tls.ca: has no effect with verify = false: any server is accepted"
    ]


def test_an_empty_folder(pairs: Pairs, accepted: Accept, folder: Path) -> None:
    (folder / "certs").mkdir()
    assert warned(accepted(LISTENER.format(', certificate_folder = "certs"'))) == [
        "listener.web.tls.certificate_folder: certs contains no certificate"
    ]


@pytest.mark.parametrize(
    ("configuration", "path"),
    [
        (LISTENER.format(""), "listener.web.tls"),
        (
            LISTENER.format(', names = { "a.example" = { certificate = "a.pem", key = "a.key" } }'),
            'listener.web.tls.names."a.example"',
        ),
        (
            '[[listener]]\nname = "web"\nbind = "tcp://127.0.0.1:0"\nplugin = "own.py:Either"\n'
            'upstream = "db"\n[upstream.db]\nservers = ["tls://10.0.0.7:1"]\n'
            'tls = { certificate = "a.pem", key = "a.key" }\n',
            "upstream.db.tls",
        ),
        (
            '[[listener]]\nname = "web"\nbind = "tcp://127.0.0.1:0"\nplugin = "own.py:Hub"\n'
            'options = { targets = ["tls://10.0.0.7:1"], '
            'tls = { certificate = "a.pem", key = "a.key" } }\n',
            "listener.web.options.tls",
        ),
        (
            '[[listener]]\nname = "web"\nbind = "tcp://127.0.0.1:0"\nplugin = "own.py:Greeter"\n'
            '[control]\nbus = "tls://127.0.0.1:1"\n'
            'tls = { certificate = "a.pem", key = "a.key" }\n',
            "control.tls",
        ),
    ],
    ids=["clients", "name", "servers", "options", "control"],
)
def test_each_table_is_looked_at(
    pairs: Pairs, accepted: Accept, configuration: str, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    pairs.issue("a", "a.example", days=-3)
    monkeypatch.setattr(
        "vcproxy.config.certificate_warnings.readable_by_all", lambda file: f"all read {file}"
    )
    lines = warned(accepted(configuration))
    assert any(line.startswith(f"{path}.certificate: a.pem has expired, 2 days") for line in lines)
    assert f"{path}.key: all read a.key" in lines
