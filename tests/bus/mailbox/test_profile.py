"""The profiles: when a message is sent, and when it is given up."""

from __future__ import annotations

from vcproxy.bus.mailbox.profile import PATIENT, README, WINK


def test_the_times_of_the_original() -> None:
    assert README.times_s == (0, 10, 20, 30)
    assert README.gives_up_s == 40
    assert WINK.times_s == (0, 2, 4, 6, 8)
    assert WINK.gives_up_s == 10


def test_patient_doubles_up_to_a_limit_and_ends_before_a_machine_counts_as_dead() -> None:
    assert PATIENT.times_s[:8] == (0, 0.05, 0.15, 0.35, 0.75, 1.55, 3.15, 6.35)
    assert len(PATIENT.times_s) == 20
    assert PATIENT.times_s[-2:] == (41.55, 44.75)
    assert PATIENT.gives_up_s == 47.95 < 60
