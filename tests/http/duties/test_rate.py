"""rate: requests are counted by key, and too many are answered by 429."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.http.proxy.test_options import read, refused
from vcproxy.admission.rate import MAX_BUCKETS
from vcproxy.http.duties.rate import LONGEST, RateRule, Rates
from vcproxy.http.filters import Filter
from vcproxy.http.message.messages import Request
from vcproxy.http.proxy.transaction import Transaction
from vcproxy.testing.http import SimulatedHttp

ONE, OTHER = "198.51.100.1", "203.0.113.9"
Rule = dict[str, Any]


def get(path: str = "/", host: str = "a.example", **fields: str) -> Request:
    return Request(
        "GET", path, {name.replace("_", "-"): v for name, v in fields.items()}, host=host
    )


def statuses(rule: Rule | list[Rule], *sent: tuple[Request, str]) -> list[int]:
    with SimulatedHttp(options=read(rate=rule)) as proxy:
        return [proxy.send(request, client_ip=ip).status for request, ip in sent]


def per_key(key: str, burst: int = 1) -> Rule:
    return {"for_each": key, "requests": 1, "per": "10s", "burst": burst}


@pytest.mark.parametrize(
    ("key", "same", "other"),
    [
        ("client", (get(), ONE), (get(), OTHER)),
        ("/24", (get(), "198.51.100.77"), (get(), OTHER)),
        ("host", (get("/x", host="A.example."), OTHER), (get(host="b.example"), ONE)),
        ("path", (get("//%2e/?q=1", host="b.example"), OTHER), (get("/x"), ONE)),
        ("header:X-Key", (get(x_key=""), OTHER), (get(x_key="b"), ONE)),
        ("cookie:id", (get(Cookie="a=2; id="), OTHER), (get(Cookie="a=1; id=2"), ONE)),
        ("all", (get("/x", host="b.example"), OTHER), None),
    ],
)
def test_each_key_has_a_bucket(
    key: str, same: tuple[Request, str], other: tuple[Request, str] | None
) -> None:
    first = (get(x_key="", Cookie="id="), ONE)
    sent = [first, same, *([other] if other is not None else [])]
    assert statuses(per_key(key), *sent) == [200, 429, 200][: len(sent)]


@pytest.mark.parametrize("key", ["header:X-Key", "cookie:id"])
def test_requests_without_the_field_are_counted_by_client(key: str) -> None:
    assert statuses(per_key(key), (get(), ONE), (get(), ONE), (get(), OTHER)) == [200, 429, 200]


def test_a_long_value_is_kept_as_a_digest() -> None:
    long, longer = "k" * LONGEST, "k" * (LONGEST + 1)
    sent = [(get(x_key=key), ONE) for key in (long, longer, longer, longer[:-1] + "x", long)]
    assert statuses(per_key("header:X-Key"), *sent) == [200, 200, 429, 200, 429]


def test_many_keys_use_bounded_memory() -> None:
    rates = Rates((RateRule(1, for_each="header:X-Key"),))
    [key] = rates.early._keys
    limits = rates.early._limits
    assert limits is not None
    [limit] = limits._limits
    with SimulatedHttp(Probe()) as proxy:
        for number in range(3):
            proxy.send(get(x_key=f"{number}" * 1000))
        assert all(len(str(key(tx))) < 80 for tx in Probe.seen)
    for number in range(3 * MAX_BUCKETS):
        limit.take(f"{number}", 0.0)
    assert limit.buckets <= 2 * MAX_BUCKETS


class Probe(Filter):
    """Keeps the transactions."""

    seen: list[Transaction] = []

    def request_head(self, tx: Transaction) -> None:
        self.seen.append(tx)


def test_the_response_says_when_to_try_again() -> None:
    with SimulatedHttp(options=read(rate=per_key("client"))) as proxy:
        proxy.send(get(), client_ip=ONE)
        proxy.elapse(3.0)
        refused_one = proxy.send(get(), client_ip=ONE)
        assert refused_one.status == 429
        assert 6 <= int(refused_one.fields["Retry-After"]) <= 7
        assert refused_one.content == (
            b"429 Too Many Requests\ntoo many requests: more than 1 per 10s for each client\n"
        )
        proxy.elapse(8.0)
        assert proxy.send(get(), client_ip=ONE).status == 200
        assert len(proxy.received()) == 2


def test_all_rules_must_be_kept_to() -> None:
    rules = [per_key("client", burst=2), per_key("path")]
    sent = [(get("/a"), ONE), (get("/a"), ONE), (get("/b"), ONE), (get("/c"), ONE)]
    assert statuses(rules, *sent) == [200, 429, 200, 429], "a refused one takes no token"


def test_a_route_has_buckets_of_its_own() -> None:
    options = read(
        rate=per_key("client"),
        routes=[
            {"path": "/a", "rate": per_key("client", burst=2)},
            {"path": "/free", "without": ["rate"]},
            {},
        ],
    )
    with SimulatedHttp(options=options) as proxy:
        paths = ["/a", "/a", "/a", "/x", "/x", "/free", "/free"]
        found = [proxy.send(get(path), client_ip=ONE).status for path in paths]
    assert found == [200, 200, 429, 200, 429, 200, 200]


def test_users_are_counted_once_they_are_known() -> None:
    class Named(Filter):
        def request_head(self, tx: Transaction) -> None:
            tx.user = tx.request.fields.get("X-User", "")

    with SimulatedHttp(Named(), options=read(rate=per_key("user"))) as proxy:
        sent = [("a", ONE), ("a", OTHER), ("b", ONE), ("", ONE), ("", ONE)]
        found = [proxy.send(get(x_user=user), client_ip=ip).status for user, ip in sent]
    assert found == [200, 429, 200, 200, 200], "without a user the rule does not apply"


@pytest.mark.parametrize(
    ("rule", "error"),
    [
        ({"requests": 1, "for_each": "clients"}, 'rate.0.for_each: must be "client", "user"'),
        ({"requests": 1, "for_each": "/33"}, "rate.0.for_each: must be "),
        ({"requests": 1, "for_each": "header:"}, "rate.0.for_each: must be "),
        ({"requests": 1, "for_each": "header:a b"}, "rate.0.for_each: must be "),
        ({"requests": 0}, "rate.0.requests: "),
        ({"requests": 1, "per": "0s"}, "rate.0.per: must be longer than 0s"),
    ],
)
def test_refused(rule: Rule, error: str) -> None:
    (problem,) = refused(rate=rule)
    assert problem.startswith(error)
    assert "did you mean" in problem or rule.get("for_each") != "clients"


def test_a_rate_for_users_without_passwords_is_warned_of(tmp_path: Path) -> None:
    (tmp_path / "tokens").write_text("ci:0123456789abcdef0123\n")
    bearer = {"tokens": str(tmp_path / "tokens")}
    rate = {"for_each": "user", "requests": 1}
    none = read(rate=rate, routes=[{"path": "/a", "rate": [rate]}, {}])
    assert [path for path, _ in none.warnings()] == [("routes", 0, "rate"), ("rate",)]
    some = read(rate=rate, routes=[{"path": "/a", "bearer": bearer}, {}])
    assert list(some.warnings()) == []
