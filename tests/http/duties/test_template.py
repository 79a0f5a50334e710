"""Template: variables in the values of duties."""

from __future__ import annotations

import pytest

from vcproxy.http.duties.template import OF_HEAD, OF_TRANSACTION, Template
from vcproxy.http.filters import Filter
from vcproxy.http.message.messages import Request
from vcproxy.http.proxy.transaction import Transaction
from vcproxy.testing.http import SimulatedHttp


def filled(text: str, target: str = "/a%20b?c=d", host: str = "A.example:81") -> str:
    """Return a template as it is filled in for a request."""
    found: list[str] = []

    class Filling(Filter):
        def request_head(self, tx: Transaction) -> None:
            found.append(Template(text).fill(tx))

    with SimulatedHttp(Filling()) as proxy:
        proxy.send(Request("GET", target, host=host), client_ip="192.0.2.7")
    return found[0]


@pytest.mark.parametrize(
    ("text", "result"),
    [
        ("plain", "plain"),
        ("{{{method}}}", "{GET}"),
        ("{scheme}://{host}{uri}", "http://a.example/a%20b?c=d"),
        ("{path} {query}", "/a%20b c=d"),
        ("{client}{user}{request_id}", "192.0.2.7"),
        ("{certificate}{certificate_serial}{certificate_names}", ""),
    ],
)
def test_variables(text: str, result: str) -> None:
    assert filled(text) == result


@pytest.mark.parametrize("user", ["alice", "Łukasz", "łukasz"])
def test_a_user_is_in_utf_8(user: str) -> None:
    """Replaced by one character, two users would be the same one for a server."""
    sent = []

    class Named(Filter):
        def request_head(self, tx: Transaction) -> None:
            tx.user = user
            sent.append(Template("user {user}").fill(tx))

    with SimulatedHttp(Named()) as proxy:
        proxy.send(Request("GET", "/", host="a.example"))
    assert sent[0].encode("latin-1") == f"user {user}".encode()


def test_a_constant_is_recognized() -> None:
    assert Template("a {{b}}").constant == "a {b}"
    assert Template("{host}").constant is None
    assert Template("{host}").of_head
    assert not Template("{host}{client}").of_head


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("{hosts}", r"\{hosts\} is not a variable: there are \{certificate\}, "),
        ("{}", r"\{\} is not a variable"),
        ("a{b", r'a "\{" without its other brace: write "\{\{"'),
        ("a}b", r'a "\}" without its other brace: write "\}\}"'),
    ],
)
def test_refused(text: str, error: str) -> None:
    with pytest.raises(ValueError, match=error):
        Template(text)


def test_each_variable_can_be_filled() -> None:
    names = (*OF_HEAD, *OF_TRANSACTION)
    assert filled("|".join(f"{{{name}}}" for name in names)).count("|") == len(names) - 1


def test_an_ipv6_address_keeps_its_brackets() -> None:
    assert filled("https://{host}/", host="[2001:DB8::1]:8080") == "https://[2001:db8::1]/"
