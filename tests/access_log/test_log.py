"""AccessLog: times, samples, and where lines go."""

from __future__ import annotations

from random import Random

from vcproxy.access_log.log import AccessLog, AccessLogSettings
from vcproxy.engine.engine import Engine


def logging(sample: float = 1.0) -> tuple[AccessLog, Engine, list[bytes]]:
    engine = Engine("net-0", memory=1 << 20, random=Random(0), log=lambda *_: None)
    lines: list[bytes] = []
    settings = AccessLogSettings("a.log", sample=sample)
    log = AccessLog(engine, settings, lines.append, lambda: 1764490530.25 + engine.now)
    return log, engine, lines


def test_times_are_those_of_the_host_in_utc() -> None:
    log, engine, _ = logging()
    assert log.time(0.0) == b"2025-11-30T08:15:30.250Z"
    assert log.time(0.75) == b"2025-11-30T08:15:31.000Z"
    assert log.time(-0.251) == b"2025-11-30T08:15:29.999Z"
    engine.now = 86400.0
    assert log.time(86400.0) == b"2025-12-01T08:15:30.250Z"


def test_a_clock_that_was_set_counts_from_the_next_second() -> None:
    log, engine, _ = logging()
    log._time_of_day = lambda: 0.0
    assert log.time(0.0) == b"1970-01-01T00:00:00.000Z"
    log._time_of_day = lambda: 3600.0
    assert log.time(0.0) == b"1970-01-01T00:00:00.000Z"
    engine.time_of_day(3600)
    assert log.time(0.0) == b"1970-01-01T01:00:00.000Z"


def test_a_sample_is_spread_evenly_and_has_no_period() -> None:
    log, _, _ = logging(sample=0.1)
    taken = [log.takes(True) for _ in range(10_000)]
    assert abs(sum(taken) - 1000) < 10
    assert abs(sum(taken[::2]) - 500) < 50  # every second request is not another share
    assert abs(sum(taken[:100]) - 10) < 3


def test_what_did_not_end_in_order_is_always_written() -> None:
    log, _, _ = logging(sample=0.0)
    assert [log.takes(orderly) for orderly in (True, False)] == [False, True]


def test_a_reload_may_exchange_where_lines_go() -> None:
    log, _, lines = logging()
    log.write(b"one\n")
    other: list[bytes] = []
    log.sink = other.append
    log.write(b"two\n")
    assert (lines, other, log.written) == ([b"one\n"], [b"two\n"], 2)
