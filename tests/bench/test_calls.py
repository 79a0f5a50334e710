"""What requests and connections cost in calls of Python functions.

A figure above its ceiling is a regression, unless the calls are worth it; then the ceiling is
raised. One below it is an improvement; then the ceiling is lowered.
`python -m tests.bench.calls WORK` lists the functions that are called. CPython 3.11 counts most:
later ones have inlined some calls.
"""

from __future__ import annotations

import pytest

from tests.bench.calls import PEERS, workloads

WORK = workloads()

RUNS = 3
"""Where one is enough if its figure is right: a busy machine divides a unit into more turns."""


@pytest.mark.parametrize(
    ("work", "peer", "ceiling"),
    [
        ("calls-trips", "vcproxy", 16),
        ("calls-churn", "vcproxy", 302),
        ("calls-churn", "vcproxy-access-log", 345),
        ("calls-sni", "vcproxy-sni", 332),
        ("calls-http", "vcproxy-http", 27),
        ("calls-http", "vcproxy-heads", 177),
        ("calls-http-unlike", "vcproxy-http", 37),
        ("calls-http-tls", "vcproxy-tls", 37),
        ("calls-tls-full", "vcproxy-tls", 345),
        ("calls-tls-resumed", "vcproxy-tls", 345),
    ],
)
def test_a_unit_of_work_takes_no_more_calls(work: str, peer: str, ceiling: int) -> None:
    costs: list[float] = []
    while not costs or (costs[-1] > ceiling and len(costs) < RUNS):
        costs.append(WORK[work].measure(PEERS[peer]).cost)
    assert 0 < costs[-1] <= ceiling, f"calls in each of {len(costs)} runs: {costs}"
