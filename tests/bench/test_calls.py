"""What requests and connections cost in calls of Python functions.

A figure above its ceiling is a regression, unless the calls are worth it; then the ceiling is
raised. `python -m tests.bench.calls WORK` lists the functions that are called. CPython 3.11 counts
most: later ones have inlined some calls.
"""

from __future__ import annotations

import pytest

from tests.bench.calls import PEERS, workloads

WORK = workloads()


@pytest.mark.parametrize(
    ("work", "peer", "ceiling"),
    [
        ("calls-trips", "vcproxy", 18),
        ("calls-churn", "vcproxy", 362),
        ("calls-http", "vcproxy-http", 168),
        ("calls-http", "vcproxy-heads", 184),
        ("calls-http-unlike", "vcproxy-http", 186),
        ("calls-http-tls", "vcproxy-tls", 178),
        ("calls-tls-full", "vcproxy-tls", 478),
        ("calls-tls-resumed", "vcproxy-tls", 478),
    ],
)
def test_a_unit_of_work_takes_no_more_calls(work: str, peer: str, ceiling: int) -> None:
    assert WORK[work].measure(PEERS[peer]).cost <= ceiling
