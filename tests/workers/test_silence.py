"""Which workers have been silent for too long."""

from __future__ import annotations

from vcproxy.workers.silence import LATE_S, Silence


def test_a_worker_is_late_when_its_sign_is_due() -> None:
    silence = Silence()
    assert silence.deadline is None
    assert silence.late(5.0) == []
    silence.expect(1, 10.0)
    silence.expect(2, 10.5)
    assert silence.deadline == 10.0
    assert silence.late(9.9) == []
    assert silence.late(10.0) == [1]
    silence.expect(1, 20.0)
    assert silence.deadline == 10.5
    assert silence.late(10.5) == [2]
    silence.allow(2)
    silence.allow(2)
    assert silence.deadline == 20.0
    assert silence.late(20.0) == [1]


def test_silence_does_not_count_while_the_master_itself_was_stopped() -> None:
    silence = Silence()
    silence.expect(1, 10.0)
    silence.expect(2, 12.0)
    assert silence.late(100.0) == [], "both were stopped, too, or have sent signs meanwhile"
    assert silence.deadline == 100.0 + LATE_S
    assert silence.late(100.0 + LATE_S) == [1]
    silence.allow(1)
    assert silence.deadline == 102.0 + LATE_S
