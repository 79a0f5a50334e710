"""The keys of the PROXY protocol: their problems, and what is printed of them."""

from __future__ import annotations

from ipaddress import ip_network
from pathlib import Path

import pytest

from tests.config.conftest import Accept, Complain
from vcproxy.config.effective import effective
from vcproxy.config.loader import load
from vcproxy.listeners.plan import senders_of

LISTENER = '[[listener]]\nname = "web"\nbind = "{bind}"\nplugin = "own.py:Either"\n{line}\n'
SERVER = '[upstream.app]\nservers = ["tcp://127.0.0.1:1"]\n'

BROKEN = {
    "no networks": (
        "tcp://127.0.0.1:0",
        "proxy_protocol = { from = [] }",
        'listener.web.proxy_protocol.from: needs at least one network, as from = ["10.0.0.0/8"], '
        'or "unix"',
    ),
    "missing": (
        "tcp://127.0.0.1:0",
        "proxy_protocol = {}",
        "listener.web.proxy_protocol.from: is missing: this key is required",
    ),
    "misspelt": (
        "tcp://127.0.0.1:0",
        'proxy_protocol = { form = "unix" }',
        'listener.web.proxy_protocol.form: unknown key; did you mean "from"?',
    ),
    "no network": (
        "tcp://127.0.0.1:0",
        'proxy_protocol = { from = "10.0.0.1/8" }',
        'listener.web.proxy_protocol.from: must be a network, as "10.0.0.0/8": 10.0.0.1/8 has host '
        "bits set",
    ),
    "datagrams": (
        "unixgram:run/in",
        'proxy_protocol = { from = "unix" }',
        "listener.web.proxy_protocol: headers can be read at tcp://, tls:// and unix: only",
    ),
    "a Unix socket that is not trusted": (
        "unix:in",
        'proxy_protocol = { from = "10.0.0.0/8" }',
        "listener.web.proxy_protocol.from: no client at unix:",
    ),
    "no Unix socket": (
        "tcp://127.0.0.1:0",
        'proxy_protocol = { from = ["unix", "10.0.0.0/8"] }',
        'listener.web.proxy_protocol.from: "unix" has no effect: no address of the listener',
    ),
}


@pytest.mark.parametrize(("bind", "line", "complaint"), BROKEN.values(), ids=list(BROKEN))
def test_problems_of_listeners(bind: str, line: str, complaint: str, complaints: Complain) -> None:
    found = "\n".join(complaints(LISTENER.format(bind=bind, line=line)))
    assert complaint in found


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ('proxy_protocol = "v3"', 'must be "v1" or "v2", not "v3"'),
        (
            'proxy_protocol = { version = "v1", tlvs = ["ssl"] }',
            'has no effect with version = "v1": write version = "v2", or remove this key',
        ),
        ('proxy_protocol = { tlvs = ["sll"] }', 'did you mean "ssl"?'),
    ],
)
def test_problems_of_upstreams(line: str, complaint: str, complaints: Complain) -> None:
    (found,) = complaints(
        LISTENER.format(bind="tcp://127.0.0.1:0", line='upstream = "app"') + SERVER + line + "\n"
    )
    assert complaint in found


def test_what_is_printed_is_the_same_configuration(folder: Path, accepted: Accept) -> None:
    line = 'upstream = "app"\nproxy_protocol = { from = ["10.0.0.0/8", "::1"] }'
    for announced in ('"v1"', '{ tlvs = ["ssl", "received"] }'):
        upstream = f"{SERVER}proxy_protocol = {announced}\n"
        configuration = accepted(LISTENER.format(bind="tcp://127.0.0.1:0", line=line) + upstream)
        printed = folder / "printed.toml"
        printed.write_text(effective(configuration))
        assert load(printed).settings == configuration.settings
        (listener,) = configuration.settings.listener
        table = listener.proxy_protocol
        assert table is not None
        assert table.from_ == (ip_network("10.0.0.0/8"), ip_network("::1/128"))
        senders = senders_of(table)
        assert senders is not None
        assert senders.trusts("::1")
        assert not senders.trusts("")
