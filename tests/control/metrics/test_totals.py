"""Totals: sums over net threads and workers, of which no counter ever falls."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tests.control.metrics.rows import added, process, row, values
from vcproxy.control.metrics.table import METRICS
from vcproxy.control.metrics.totals import Totals

ACCEPTED = "vcproxy_listener_accepted"
OPEN = "vcproxy_listener_open"
LAG = "vcproxy_net_thread_lag_seconds"
UPTIME = "vcproxy_process_uptime_seconds"


def test_net_threads_and_workers_are_added_up_by_label() -> None:
    families = added(
        Totals(),
        row(ACCEPTED, 1, "listener=a", worker=1, thread="net-0"),
        row(ACCEPTED, 2, "listener=a", worker=1, thread="net-1"),
        row(ACCEPTED, 4, "listener=a", worker=2, thread="net-0"),
        row(ACCEPTED, 8, "listener=b", worker=2, thread="net-0"),
    )
    assert values(families, ACCEPTED) == {("listener=a",): 7, ("listener=b",): 8}


def test_of_a_time_the_largest_or_the_smallest_counts() -> None:
    families = added(
        Totals(),
        row(LAG, 0.5, worker=1),
        row(LAG, 0.25, worker=2),
        row(UPTIME, 90, worker=1),
        row(UPTIME, 30, worker=2),
    )
    assert values(families, LAG) == {(): 0.5}
    assert values(families, UPTIME) == {(): 30}


def test_histograms_are_added_up_bucket_by_bucket() -> None:
    one = row("size", [1, 0, 2, 30.5], kind="histogram", buckets=(1, 10))
    other = row("size", [1, 1, 0, 8.5], kind="histogram", buckets=(1, 10), thread="net-1")
    [family] = [each for each in added(Totals(), one, other) if each.metric.name == "size"]
    assert family.values == {(): [2, 1, 2, 39.0]}
    assert family.buckets == (1, 10)


def test_a_worker_that_is_replaced_takes_no_count_along() -> None:
    totals = Totals()
    one = process(11, 1), row(ACCEPTED, 5, "listener=a", worker=1)
    added(totals, *one, process(12, 2), row(ACCEPTED, 100, "listener=a", worker=2))
    assert values(added(totals, *one), ACCEPTED) == {("listener=a",): 105}, "it has just ended"
    for pid, number, total in ((13, 1, 106), (13, 200, 305), (14, 0, 305), (15, 300, 605)):
        two = process(pid, 2), row(ACCEPTED, number, "listener=a", worker=2)
        assert values(added(totals, *one, *two), ACCEPTED) == {("listener=a",): total}


def test_what_does_not_answer_keeps_its_last_count_and_has_no_gauge() -> None:
    totals = Totals()
    one, other = row(ACCEPTED, 1), row(ACCEPTED, 2, thread="net-1")
    added(totals, one, other, row(OPEN, 1), row(OPEN, 2, thread="net-1"))
    families = added(totals, row(ACCEPTED, 5), row(OPEN, 1), missing=["net-1: no answer"])
    assert values(families, ACCEPTED) == {(): 7}
    assert values(families, OPEN) == {(): 1}
    assert values(families, "vcproxy_scrape_missing") == {(): 1}


@given(
    st.lists(
        st.lists(st.sampled_from(["counts", "is late", "is replaced"]), min_size=3, max_size=3),
        max_size=20,
    )
)
def test_a_counter_never_falls(scrapes: list[list[str]]) -> None:
    totals, total = Totals(), 0.0
    counts, pids = [1, 1, 1], [1, 2, 3]
    for scrape in scrapes:
        rows, missing = [], []
        for worker, what in enumerate(scrape):
            counts[worker] += 3
            if what == "is replaced":
                counts[worker], pids[worker] = 0, pids[worker] + 3
            if what == "is late":
                missing.append(f"worker {worker}")
            else:
                rows += [
                    process(pids[worker], worker),
                    row(ACCEPTED, counts[worker], worker=worker),
                ]
        now = values(added(totals, *rows, missing=missing), ACCEPTED).get((), 0)
        assert now >= total
        total = now


def test_a_metric_that_a_reload_declares_otherwise_begins_again() -> None:
    totals = Totals()
    added(totals, row("size", [3, 4, 9.5], kind="histogram", buckets=(1,)))
    families = added(totals, row("size", [1, 0, 0, 0.5], kind="histogram", buckets=(1, 2)))
    assert values(families, "size") == {(): [1, 0, 0, 0.5]}
    assert not totals.conflicts


def test_of_two_declarations_the_latest_is_used() -> None:
    totals = Totals()
    old, new = row("x", 1, kind="counter"), row("x", 2, kind="gauge")
    for _ in range(2):
        families = added(totals, old, new)
        assert [each.metric.kind for each in families if each.metric.name == "x"] == ["gauge"]
        assert values(families, "x") == {(): 2}
        assert list(totals.conflicts) == ["x"]


def test_the_order_is_that_of_the_table_then_of_names() -> None:
    families = added(
        Totals(), row("b", 1, kind="gauge"), row("a", 1, kind="gauge"), row(LAG, 1), row(OPEN, 1)
    )
    names = [each.metric.name for each in families]
    assert names == [OPEN, LAG, "vcproxy_scrape_missing", "a", "b"]
    assert [name for name in METRICS if name in names] == names[:3]
