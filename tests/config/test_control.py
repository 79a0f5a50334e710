"""The table [control]: its problems, each at its position, and its notes."""

from __future__ import annotations

from pathlib import Path

import pytest
import tomli_w
import trustme

from tests.config.conftest import Accept, Complain
from vcproxy.config.effective import effective
from vcproxy.config.loader import load
from vcproxy.config.notes import notes
from vcproxy.config.tables.control import ControlTable
from vcproxy.config.tables.network import read_network

SOUND = '[[listener]]\nname = "web"\nbind = "tcp://127.0.0.1:0"\nplugin = "own.py:Either"\n'

BROKEN = {
    "other schemes": (
        'bus = "nats://127.0.0.1/orders"',
        'control.bus: "nats://127.0.0.1:4222/orders": write "unix", the address of a Unix '
        "socket, or one of tcp://, tls:// and udp:// with an address of this host",
    ),
    "a group": (
        'bus = ["unix", "udp://239.0.0.1:4041"]',
        'control.bus.1: "udp://239.0.0.1:4041": write "unix", the address of a Unix socket, or '
        "one of tcp://, tls:// and udp:// with an address of this host",
    ),
    "off and an address": (
        'bus = ["off", "unix"]',
        'control.bus.0: "off" stands alone: write bus = "off", or addresses',
    ),
    "twice": ('bus = ["unix", "unix"]', "control.bus.1: unix is listed twice: remove one"),
    "no certificate": (
        'bus = "tls://127.0.0.1:4042"',
        "control.bus: tls:// needs [control.tls] with a certificate and a key",
    ),
    "no network": (
        'allow = ["10.0.0.1/8"]',
        'control.allow.0: must be a network, as "10.0.0.0/8": 10.0.0.1/8 has host bits set',
    ),
    "no name": (
        'service = "a b"',
        'control.service: "a b" is not the name of a service: write letters, digits, "_" and "-", '
        "the first of them a letter",
    ),
    "the proxy's own name": (
        'services = { vcproxy = "tcp://127.0.0.1:1" }',
        'control.services.vcproxy: "vcproxy" is the name of this proxy: name another service',
    ),
    "a service without a place": (
        'services = { cluckd = "nats://127.0.0.1/orders" }',
        'control.services.cluckd: "nats://127.0.0.1:4222/orders": only the source and the targets '
        "of a relay may be nats://",
    ),
    "HTTP for other computers": (
        'http = "tcp://10.0.0.1:9901"',
        'control.http: "tcp://10.0.0.1:9901": write "unix", the address of a Unix socket, or tcp://'
        " with 127.0.0.1, [::1] or localhost: from other computers, come through ssh -L",
    ),
    "HTTP at all addresses": ('http = "tcp://0.0.0.0:9901"', 'control.http: "tcp://0.0.0.0:9901"'),
    "HTTP over UDP": ('http = ["udp://127.0.0.1:1"]', 'control.http.0: "udp://127.0.0.1:1"'),
    "HTTP off and an address": (
        'http = ["off", "unix"]',
        'control.http.0: "off" stands alone: write http = "off", or addresses',
    ),
    "HTTP twice": ('http = ["unix", "unix"]', "control.http.1: unix is listed twice: remove one"),
    "HTTP and the bus at one address": (
        'http = "unix:/run/a.sock"\nbus = "unix:/run/a.sock"',
        "control.http: unix:/run/a.sock is in control.bus too: remove one",
    ),
    "no host": (
        'http = "tcp://127.0.0.1:1"\nhosts = ["http://ops.example"]',
        'control.hosts.0: "http://ops.example" is not the name of a host: write it without scheme '
        "and port",
    ),
    "no directory": ('messages = ["none"]', "control.messages.0: there is no directory none"),
}


@pytest.mark.parametrize(("line", "complaint"), BROKEN.values(), ids=list(BROKEN))
def test_problems(line: str, complaint: str, complaints: Complain) -> None:
    (found,) = complaints(f"[control]\n{line}\n{SOUND}")
    assert found.startswith(("proxy.toml:2:", "proxy.toml:3:")), found
    assert complaint in found


def test_a_certificate_without_an_address(folder: Path, complaints: Complain) -> None:
    authority = trustme.CA()
    issued = authority.issue_cert("localhost")
    issued.private_key_pem.write_to_path(folder / "key.pem")
    issued.cert_chain_pems[0].write_to_path(folder / "cert.pem")
    tls = '[control.tls]\ncertificate = "cert.pem"\nkey = "key.pem"\nclient_ca = "none.pem"\n'
    assert complaints(tls + SOUND) == [
        "proxy.toml:1:10: control.tls: has no effect: no address in bus is tls://: remove it, or "
        "add one",
        "proxy.toml:4:1: control.tls.client_ca: cannot read none.pem: No such file or directory",
    ]


@pytest.mark.parametrize(
    "table",
    [
        {},
        {"bus": "off"},
        {"bus": ["unix", "udp://127.0.0.1:4041", "tcp://127.0.0.1:4042"]},
        {"http": ["unix", "tcp://127.0.0.1:9901"], "hosts": ["a.b"], "token_file": "/run/token"},
        {"http": "off"},
        {"services": {"cluckd": "udp://127.0.0.1:3002"}, "allow": ["::1/128"]},
    ],
)
def test_what_is_printed_is_the_same_configuration(
    table: dict[str, object], folder: Path, accepted: Accept
) -> None:
    configuration = accepted(tomli_w.dumps({"control": table}) + SOUND)
    printed = folder / "printed.toml"
    printed.write_text(effective(configuration))
    assert load(printed).settings == configuration.settings


def test_off_is_no_address(accepted: Accept) -> None:
    assert accepted(f'control = {{ bus = "off" }}\n{SOUND}').settings.control.bus == ()
    assert ControlTable().bus == ("unix",)


@pytest.mark.parametrize(
    ("written", "network"),
    [
        ("::ffff:10.0.0.0/104", "10.0.0.0/8"),
        ("::ffff:192.0.2.1", "192.0.2.1/32"),
        ("::ffff:0:0/96", "0.0.0.0/0"),
        ("::/0", "::/0"),
        ("2001:db8::1", "2001:db8::1/128"),
    ],
)
def test_a_network_of_mapped_addresses_is_one_of_ipv4(written: str, network: str) -> None:
    assert str(read_network(written)) == network


def test_networks_without_an_address_are_noted(accepted: Accept) -> None:
    text = '[control]\nallow = ["10.0.0.0/8"]\n' + SOUND
    assert list(notes(accepted(text))) == [
        ("control.allow", "no effect: no address in bus is tcp://, tls:// or udp://")
    ]


def test_a_token_without_an_address_is_noted(accepted: Accept) -> None:
    text = '[control]\ntoken_file = "token"\nhosts = ["ops.example"]\n' + SOUND
    assert list(notes(accepted(text))) == [
        ("control.token_file", "no effect: no address in http is tcp://"),
        ("control.hosts", "no effect: no address in http is tcp://"),
    ]
