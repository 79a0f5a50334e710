"""Settings of all tests; in CI a skipped test fails, because `.ci/run` installs all they need."""

from __future__ import annotations

import gc
import os
import tempfile
from collections.abc import Generator
from typing import TypeVar

import pytest
from hypothesis import HealthCheck, settings

# The duration of an example depends on the load of the machine, and large examples are intended:
# neither is a fault of the code.
disabled = [HealthCheck.too_slow, HealthCheck.data_too_large]
settings.register_profile("untimed", deadline=None, suppress_health_check=disabled)
settings.load_profile("untimed")

RUNTIME_DIRECTORY = tempfile.TemporaryDirectory(prefix="vcproxy-")
"""For the control sockets of all proxies that tests run: not /run of this machine."""

os.environ["XDG_RUNTIME_DIR"] = RUNTIME_DIRECTORY.name


def pytest_unconfigure() -> None:
    """Remove the directory."""
    RUNTIME_DIRECTORY.cleanup()


COLLECTED_AFTER = gc.get_threshold()


@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown() -> None:
    """Collect garbage as before: a command or proxy that ran in this process has changed that (see
    vcproxy.app.garbage), and the garbage of later tests would take gigabytes, and descriptors."""
    gc.unfreeze()
    gc.set_threshold(*COLLECTED_AFTER)
    gc.enable()


Report = TypeVar("Report", pytest.TestReport, pytest.CollectReport)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Turn a skip of a test into a failure in CI."""
    return _failed_if_skipped((yield))


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """Turn a skip of a module into a failure in CI."""
    return _failed_if_skipped((yield))


def _failed_if_skipped(report: Report) -> Report:
    if report.outcome == "skipped" and "CI" in os.environ and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"skipped, which is not allowed in CI: {report.longrepr}"
    return report
