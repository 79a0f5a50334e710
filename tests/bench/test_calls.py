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
    [  # what is measured on an idle machine, and 1 % for wake-ups that a busy one adds
        ("calls-trips", "vcproxy", 18.5),
        ("calls-churn", "vcproxy", 585),
        ("calls-http", "vcproxy-http", 170),
        ("calls-http", "vcproxy-heads", 184),
        ("calls-http-unlike", "vcproxy-http", 187),
        ("calls-http-tls", "vcproxy-tls", 203),
        ("calls-tls-full", "vcproxy-tls", 560),
    ],
)
def test_a_unit_of_work_takes_no_more_calls(work: str, peer: str, ceiling: float) -> None:
    assert WORK[work].measure(PEERS[peer]).cost <= ceiling
