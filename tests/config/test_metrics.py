"""The table [metrics]: its problems, each at its position."""

from __future__ import annotations

import sys

import pytest

from tests.config.conftest import Accept, Complain
from vcproxy.config.effective import effective

SOUND = '[[listener]]\nname = "web"\nbind = "tcp://127.0.0.1:0"\nplugin = "own.py:Either"\n'


def test_one_address_or_several(accepted: Accept) -> None:
    one = accepted(f'[metrics]\nbind = "tcp://127.0.0.1:9100"\n{SOUND}')
    two = accepted(f'[metrics]\nbind = ["tcp://[::1]:9100", "unix:m.sock"]\n{SOUND}')
    assert [str(each) for each in one.settings.metrics.bind] == ["tcp://127.0.0.1:9100"]
    assert [each.scheme for each in two.settings.metrics.bind] == ["tcp", "unix"]
    assert accepted(SOUND).settings.metrics.bind == ()
    assert 'bind = [\n    "tcp://127.0.0.1:9100",\n]' in effective(one)


@pytest.mark.parametrize(
    ("bind", "problem"),
    [
        ("udp://127.0.0.1:9100", "metrics are read at tcp:// or unix:"),
        ("tls://127.0.0.1:9100", "metrics are read at tcp:// or unix:"),
    ],
)
def test_other_schemes_are_refused(complaints: Complain, bind: str, problem: str) -> None:
    assert complaints(f'[metrics]\nbind = "{bind}"\n{SOUND}') == [
        f'proxy.toml:2:1: metrics.bind: "{bind}": {problem}'
    ]


def test_a_missing_library_is_named_with_the_way_to_install_it(
    complaints: Complain, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "prometheus_client", None)
    assert complaints(f'[metrics]\nbind = "tcp://127.0.0.1:0"\n{SOUND}') == [
        "proxy.toml:2:1: metrics.bind: needs a library: pip install prometheus-client"
    ]
