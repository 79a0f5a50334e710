"""Duty and DutyPhases: what a duty may do."""

from __future__ import annotations

import pytest

from vcproxy.http.duties.duty import BODY_PHASES, Duty, DutyPhases
from vcproxy.http.proxy.transaction import Transaction


@pytest.mark.parametrize("phase", BODY_PHASES)
def test_a_duty_does_not_buffer_bodies(phase: str) -> None:
    def body(self: DutyPhases, tx: Transaction, data: bytes) -> bytes:
        return data

    with pytest.raises(TypeError, match=rf"Greedy is a duty: it cannot override {phase}\(\)"):
        type("Greedy", (DutyPhases,), {phase: body})


def test_a_duty_must_have_phases() -> None:
    with pytest.raises(NotImplementedError, match="Duty has neither edits nor phases"):
        Duty().phases()
    assert not Duty().answers
