"""RateLimit: token buckets, compared with buckets that are filled in steps; bounded memory."""

from __future__ import annotations

import tracemalloc
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vcproxy.admission.rate import MAX_BUCKETS, Rate, RateLimit, RateLimits


def limit(
    requests: int = 3, per_s: float = 1.0, burst: int = 3, prefix: int | None = 32
) -> RateLimit:
    return RateLimit(Rate(prefix, requests, per_s, burst, "some"))


def takes(each: RateLimit, count: int, now: float, key: object = "a") -> int:
    """How many of so many events at one time are within the limit."""
    return sum(not each.take(key, now) for _ in range(count))


def test_a_burst_then_the_rate() -> None:
    bucket = limit(requests=10, burst=5)
    assert takes(bucket, 20, 100.0) == 5
    assert bucket.take("a", 100.0) == pytest.approx(0.1, abs=1e-5)
    assert takes(bucket, 20, 100.1) == 1
    assert takes(bucket, 20, 100.45) == 3
    assert takes(bucket, 20, 200.0) == 5, "no more than a burst, however long it was idle"


def test_each_key_has_a_bucket() -> None:
    bucket = limit()
    assert takes(bucket, 9, 0.0, "a") == 3
    assert takes(bucket, 9, 0.0, "b") == 3


def test_a_token_is_given_back() -> None:
    bucket = limit(burst=1)
    assert not bucket.take("a", 5.0)
    bucket.give_back("a")
    assert takes(bucket, 3, 5.0) == 1


@given(
    st.integers(1, 5),
    st.integers(1, 6),
    st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 40)), max_size=60),
)
def test_the_same_as_buckets_that_are_filled_in_steps(
    requests: int, burst: int, events: list[tuple[str, int]]
) -> None:
    tested = limit(requests, 1.0, burst)
    tokens = dict.fromkeys("abc", Fraction(burst))
    now = Fraction(0)
    for key, wait in events:
        passed = Fraction(wait, 16)  # exact in floating point
        now += passed
        for each in tokens:
            tokens[each] = min(tokens[each] + passed * requests, Fraction(burst))
        expected = tokens[key] >= 1
        tokens[key] -= expected
        assert (not tested.take(key, float(now))) is expected
        if not expected:
            exact = float((1 - tokens[key]) / requests)
            assert tested.take(key, float(now)) == pytest.approx(exact, abs=1e-5)


# -- clients ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("prefix", "same", "other"),
    [
        (32, ["192.0.2.1"], "192.0.2.2"),
        (24, ["192.0.2.1", "192.0.2.255"], "192.0.3.0"),
        (0, ["192.0.2.1", "10.0.0.1"], "::1"),
        (32, ["2001:db8::1", "2001:db8:0:0:ffff::"], "2001:db8:0:1::1"),
        (24, ["2001:db8::1", "2001:db8:0:ffff::"], "2001:db8:1::"),
        (None, ["192.0.2.1", "2001:db8::1", ""], None),
    ],
)
def test_who_is_one_client(prefix: int | None, same: list[str], other: str | None) -> None:
    bucket = limit(prefix=prefix)
    assert len({bucket.key(each) for each in same}) == 1
    assert other is None or bucket.key(other) != bucket.key(same[0])


def test_a_client_without_an_address_is_limited_only_with_all_others() -> None:
    assert limit().key("") is None
    assert limit(prefix=None).key("") is not None


def test_no_network_of_ipv6_shares_a_bucket_with_one_of_ipv4() -> None:
    bucket = limit(prefix=16)
    assert bucket.key("0.7.0.0") != bucket.key("0:7::")


# -- several limits --------------------------------------------------------------------------


def rate(prefix: int | None, count: int) -> Rate:
    return Rate(prefix, count, 1.0, count, "some")


def admits(limits: RateLimits, address: str, count: int) -> int:
    """How many of so many events at one time are within all limits."""
    keys = limits.keys(address)
    return sum(limits.take(keys, 0.0) is None for _ in range(count))


def test_what_one_limit_refuses_costs_no_token_of_the_others() -> None:
    limits = RateLimits([rate(None, 10), rate(32, 2)])
    assert admits(limits, "192.0.2.1", 50) == 2
    assert admits(limits, "192.0.2.2", 50) == 2
    assert admits(limits, "", 50) == 6, "only the limit for all clients applies"
    assert admits(limits, "192.0.2.3", 50) == 0
    limits = RateLimits([rate(32, 2), rate(None, 3)])
    assert admits(limits, "192.0.2.1", 50) == 2
    assert admits(limits, "192.0.2.2", 50) == 1
    exceeded = limits.take(limits.keys("192.0.2.2"), 0.0)
    assert exceeded is not None
    assert exceeded[0] == pytest.approx(1 / 3, abs=1e-5)
    assert exceeded[1] == rate(None, 3)


def test_tokens_of_all_limits_are_given_back() -> None:
    limits = RateLimits([rate(32, 1), rate(None, 1)])
    keys = limits.keys("192.0.2.1")
    assert limits.take(keys, 0.0) is None
    limits.give_back(keys)
    assert admits(limits, "192.0.2.1", 50) == 1


def test_limits_that_replace_others_keep_the_buckets_of_equal_rates() -> None:
    before = RateLimits([rate(32, 2), rate(None, 9)])
    assert admits(before, "192.0.2.1", 50) == 2
    after = RateLimits([rate(None, 20), rate(32, 2)], before)
    assert admits(after, "192.0.2.1", 50) == 0
    assert admits(after, "", 50) == 20, "another rate has new buckets"


# -- memory ----------------------------------------------------------------------------------


@pytest.mark.parametrize("flood", ["10.{1}.{2}.{3}", "2001:db8:{1:x}{2:02x}:{3:x}::1"])
def test_a_flood_of_addresses_takes_bounded_memory(flood: str) -> None:
    bucket = limit(requests=1, per_s=3600.0, burst=1)
    abuser = bucket.key("192.0.2.1")
    assert not bucket.take(abuser, 0.0)
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    admitted = 0
    for number in range(3 * MAX_BUCKETS):
        _, second, third, fourth = number.to_bytes(4, "big")
        key = bucket.key(flood.format(0, second, third, fourth))
        admitted += not bucket.take(key, number / 1e5)
        if number % 1000 == 0:
            assert bucket.take(abuser, number / 1e5), "its bucket is kept while it goes on"
    used = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    assert admitted == 3 * MAX_BUCKETS
    assert bucket.buckets <= 2 * MAX_BUCKETS
    assert used < 8 << 20


def test_full_buckets_are_forgotten() -> None:
    bucket = limit(requests=10, burst=10)
    for number in range(1000):
        bucket.take(number, 0.0)
    assert bucket.buckets == 1000
    for now in (1.5, 3.0):
        bucket.take("a", now)
    assert bucket.buckets == 2, "one client, in both halves"


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 16)), max_size=200))
def test_what_is_forgotten_makes_no_difference(events: list[tuple[int, int]]) -> None:
    tested, endless = limit(requests=2, burst=3), limit(requests=2, burst=3)
    endless._changes_at = 1e9
    now = 0.0
    for key, wait in events:
        now += wait / 16
        assert (tested.take(key, now) == 0) is (endless.take(key, now) == 0)
