"""Continuity: missing packets, copies, packets without payload, discontinuities."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vcproxy.protocols.continuity import NULL_PID, Continuity

PAYLOAD, ADAPTATION = 0x10, 0x20

Packet = tuple[int, int, bool]
"""PID, flags with the counter, discontinuity_indicator."""


def full(counter: int, pid: int = 256, *, jumps: bool = False) -> Packet:
    return pid, PAYLOAD | counter % 16, jumps


def empty(counter: int) -> Packet:
    return 256, ADAPTATION | counter, False


@pytest.mark.parametrize(
    ("packets", "missing"),
    [
        ([full(n) for n in range(40)], 40 * [0]),
        ([full(14), full(15), full(0)], [0, 0, 0]),
        ([full(7)], [0]),
        ([full(0), full(2)], [0, 1]),
        ([full(3), full(1)], [0, 13]),
        ([full(0), full(0), full(1)], [0, 0, 0]),
        ([full(0), full(0), full(0)], [0, 0, 15]),
        ([full(0), empty(0), full(1)], [0, 0, 0]),
        ([full(0), empty(1), full(2)], [0, 1, 0]),
        ([full(0), full(9, jumps=True), full(10)], [0, 0, 0]),
        ([full(0), full(0, jumps=True), full(0)], [0, 0, 0]),
        ([full(0), full(5, 257), full(1), full(6, 257)], [0, 0, 0, 0]),
        ([full(0, NULL_PID), full(5, NULL_PID)], [0, 0]),
    ],
)
def test_missing_packets_are_counted(packets: list[Packet], missing: list[int]) -> None:
    continuity = Continuity()
    assert [continuity.missing(*packet) for packet in packets] == missing


@given(st.lists(st.booleans(), max_size=100), st.integers(0, 15))
def test_as_many_are_counted_as_are_missing(arrives: list[bool], first: int) -> None:
    """Fewer than sixteen at a time: more cannot be seen in a counter of four bits."""
    numbers = [n for n, each in enumerate(arrives) if each or n % 15 == 0]
    continuity = Continuity()
    counted = sum(continuity.missing(*full(first + n)) for n in numbers)
    assert counted == (numbers[-1] + 1 - len(numbers) if numbers else 0)
