"""Failures: the kind of a single error, and the kind of several errors together."""

from __future__ import annotations

import errno

import pytest

from vcproxy.engine.failures import (
    AlertReceived,
    CertificateRefused,
    NotResolved,
    ResolvedTooLate,
    Unroutable,
    all_failed,
    kind_of,
)
from vcproxy.replay.format.values import FailureValue


@pytest.mark.parametrize(
    ("number", "kind"),
    [
        (errno.ECONNREFUSED, ConnectionRefusedError),
        (errno.ETIMEDOUT, TimeoutError),
        (errno.ENETUNREACH, Unroutable),
        (errno.EHOSTUNREACH, Unroutable),
        (errno.EACCES, OSError),
        (None, OSError),
    ],
)
def test_the_kind_of_an_error(number: int | None, kind: type[OSError]) -> None:
    assert kind_of(number) is kind


@pytest.mark.parametrize(
    ("failures", "kind", "text"),
    [
        ([], NotResolved, "the name has no address"),
        ([Unroutable("a"), ConnectionRefusedError("b")], ConnectionRefusedError, "a; b"),
        ([Unroutable("a"), Unroutable("a")], Unroutable, "a"),
        ([TimeoutError("a"), ConnectionRefusedError("b")], TimeoutError, "a; b"),
        ([ValueError("a")], OSError, "a"),
    ],
)
def test_one_for_several(failures: list[Exception], kind: type[OSError], text: str) -> None:
    failure = all_failed(failures)
    assert (type(failure), str(failure)) == (kind, text)


@pytest.mark.parametrize(
    "kind", [NotResolved, ResolvedTooLate, Unroutable, CertificateRefused, AlertReceived]
)
def test_a_recorded_failure_is_replayed_as_its_kind(kind: type[OSError]) -> None:
    again = FailureValue.of(kind("why")).to_exception()
    assert (type(again), str(again)) == (kind, "why")
