"""What holds for every test: in CI none may be skipped, for `.ci/run` installs what they need."""

from __future__ import annotations

import os
from collections.abc import Generator
from typing import TypeVar

import pytest
from hypothesis import HealthCheck, settings

# How long an example takes says how busy the machine is, and large ones are wanted here: neither
# says whether the code is right.
unjudged = [HealthCheck.too_slow, HealthCheck.data_too_large]
settings.register_profile("untimed", deadline=None, suppress_health_check=unjudged)
settings.load_profile("untimed")

Report = TypeVar("Report", pytest.TestReport, pytest.CollectReport)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Look at a test."""
    return _never_skipped((yield))


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """Look at a module."""
    return _never_skipped((yield))


def _never_skipped(report: Report) -> Report:
    if report.outcome == "skipped" and "CI" in os.environ and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"skipped, and in CI nothing may be: {report.longrepr}"
    return report
