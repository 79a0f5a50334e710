"""allow, deny and rate: their problems, each at its position, and what `-t` notes about them."""

from __future__ import annotations

import time
from ipaddress import ip_network
from pathlib import Path

import pytest

from tests.config.conftest import Accept, Complain
from vcproxy.config.admission import notes as admission_notes
from vcproxy.config.effective import effective
from vcproxy.config.notes import notes
from vcproxy.config.workers import share

SOUND = '[[listener]]\nname = "web"\nplugin = "own.py:Either"\n'
TCP = 'bind = "tcp://127.0.0.1:0"\n'
HUB = '[[listener]]\nname = "web"\nplugin = "own.py:Hub"\n'

BROKEN = {
    "no network": (
        SOUND + TCP + 'deny = ["10.0.0.0/8", "10.0.0.1/8"]',
        '5:23: listener.web.deny.1: must be a network, as "10.0.0.0/8": 10.0.0.1/8 has host bits '
        "set",
    ),
    "an empty list": (
        SOUND + TCP + "allow = []",
        "5:1: listener.web.allow: is empty, so no client is served: name networks, or remove it",
    ),
    "all denied": (
        SOUND + TCP + 'allow = ["10.1.0.0/16"]\ndeny = ["10.0.0.0/8"]',
        "5:1: listener.web.allow: no client is served: `deny` includes all of these networks",
    ),
    "unknown clients": (
        SOUND + TCP + 'rate = { for_each = "clients", requests = 1 }',
        '5:10: listener.web.rate.for_each: must be "client", "listener" or a length from "/0" to '
        '"/32", not "clients"; did you mean "client"?',
    ),
    "too long": (
        SOUND + TCP + 'rate = { for_each = "/33", requests = 1 }',
        '5:10: listener.web.rate.for_each: must be "client", "listener" or a length from "/0" to '
        '"/32", not "/33"',
    ),
    "numbers": (
        SOUND + TCP + 'rate = [{ requests = 0 }, { requests = 1, per = "0s", burst = 0 }]',
        "5:11: listener.web.rate.0.requests: must be 1 or more, not 0",
        "5:43: listener.web.rate.1.per: must be longer than 0s",
        "5:55: listener.web.rate.1.burst: must be 1 or more, not 0",
    ),
    "no clients": (
        HUB + 'deny = ["10.0.0.0/8"]\nrate = { requests = 1 }',
        "4:1: listener.web.deny: has no effect: Hub accepts no clients here: remove it",
        "5:1: listener.web.rate: has no effect: Hub accepts no clients here: remove it",
    ),
    "clients without addresses": (
        SOUND + 'bind = "unix:web.sock"\nallow = ["10.0.0.0/8"]\nrate = { requests = 1 }',
        "5:1: listener.web.allow: has no effect: no client of this listener has an IP address: "
        "remove it",
        "6:1: listener.web.rate: has no effect: no client of this listener has an IP address: "
        'remove it, or write for_each = "listener"',
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", BROKEN)
def test_problems(case: str, complaints: Complain) -> None:
    text, *problems = BROKEN[case]
    assert complaints(text) == [f"proxy.toml:{problem}" for problem in problems]


def test_addresses_in_options_have_clients(accepted: Accept) -> None:
    accepted(HUB + 'deny = ["10.0.0.0/8"]\noptions.subscribers = ["tcp://127.0.0.1:0"]\n')


def test_a_rate_for_all_clients_concerns_a_unix_socket_too(accepted: Accept) -> None:
    accepted(SOUND + 'bind = "unix:web.sock"\nrate = { for_each = "listener", requests = 5 }\n')


def test_the_effective_configuration(accepted: Accept, tmp_path: Path) -> None:
    text = SOUND + TCP + 'deny = ["10.0.0.1"]\nrate = { requests = 5, for_each = "/24" }\n'
    shown = effective(accepted(text))
    assert 'deny = [\n    "10.0.0.1/32",\n]' in shown
    assert '{ for_each = "/24", requests = 5, per = "1s" },' in shown
    assert "allow" not in shown.replace('allow = [\n    "127.0.0.0/8"', "")
    assert effective(accepted(shown)) == shown


# -- notes -----------------------------------------------------------------------------------


def test_networks_without_effect_are_noted(accepted: Accept) -> None:
    text = """\
allow = ["10.0.0.0/8", "10.1.0.0/16", "192.0.2.0/24", "10.0.0.0/8", "2001:db8::/32"]
deny = ["192.0.2.0/25", "10.1.0.0/16", "10.1.2.0/24", "172.16.0.0/12", "2001:db8::/33",
    "0.0.0.0/1"]
"""
    assert sorted(admission_notes(accepted(SOUND + TCP + text))) == [
        ("listener.web.allow", "10.0.0.0/8 has no effect: 0.0.0.0/1 in deny includes it"),
        ("listener.web.allow", "10.0.0.0/8 is listed twice: remove one"),
        ("listener.web.allow", "10.1.0.0/16 has no effect: 10.1.0.0/16 in deny includes it"),
        ("listener.web.deny", "10.1.0.0/16 has no effect: 0.0.0.0/1 is in the list too"),
        ("listener.web.deny", "10.1.2.0/24 has no effect: 10.1.0.0/16 is in the list too"),
        (
            "listener.web.deny",
            "172.16.0.0/12 has no effect: no network in allow includes a part of it",
        ),
    ]


def test_clients_of_a_unix_socket_are_noted(accepted: Accept) -> None:
    bind = 'bind = ["tcp://127.0.0.1:0", "unix:web.sock"]\ndeny = ["10.0.0.0/8"]\n'
    [(path, text)] = admission_notes(accepted(SOUND + bind))
    assert path == "listener.web.deny"
    assert text.endswith(
        "web.sock have no IP address and are served: the mode and owner of its file decide"
    )


def test_a_long_list_is_checked_fast_and_has_few_notes(accepted: Accept) -> None:
    networks = [f'"10.{number >> 8}.{number & 255}.0/24"' for number in range(10_000)]
    lists = f"allow = [{', '.join(networks)}]\ndeny = [{', '.join(networks[1:])}]\n"
    configuration = accepted(SOUND + TCP + lists)
    began = time.process_time()
    found = list(admission_notes(configuration))
    assert time.process_time() - began < 5
    assert len(found) == 11
    assert found[-1] == (
        "listener.web.allow",
        "more of these networks have no effect; the first 10 are listed above",
    )


# -- workers ---------------------------------------------------------------------------------

WORKERS = "[proxy]\nworkers = 3\n"
RATES = """\
rate = [
    { requests = 10, burst = 5 },
    { for_each = "listener", requests = 100, per = "1s" },
]
"""


def test_only_the_rate_of_all_clients_is_divided_among_workers(accepted: Accept) -> None:
    configuration = accepted(WORKERS + SOUND + TCP + RATES)
    shares = [share(configuration, number, 3).settings.listener[0].rate for number in (1, 2, 3)]
    assert [(each.requests, each.burst) for each, _ in shares] == [(10, 5)] * 3
    assert [(each.requests, each.burst) for _, each in shares] == [(34, 34), (33, 33), (33, 33)]
    noted = [text for path, text in notes(configuration) if path.startswith("listener.web.rate")]
    assert noted == [
        'for_each = "client" in each of 3 workers: each counts what it serves',
        "divided among 3 workers: 34 or 33 for each",
    ]


def test_a_rate_that_cannot_be_divided(complaints: Complain) -> None:
    text = WORKERS + SOUND + TCP + 'rate = { for_each = "listener", requests = 2 }\n'
    assert complaints(text) == [
        "proxy.toml:7:33: listener.web.rate.requests: is 2, and it is divided among 3 workers: "
        "write 3 or more, or fewer workers"
    ]


def test_networks_are_values(accepted: Accept) -> None:
    configuration = accepted(SOUND + TCP + 'allow = ["2001:db8::/32"]\n')
    assert configuration.settings.listener[0].allow == (ip_network("2001:db8::/32"),)
