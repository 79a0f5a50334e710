"""vcproxy gives the expected result for every case, in simulation: whole, split anywhere, byte by
byte."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest

from tests.http.corpus import CASES
from tests.http.corpus.case import Case, sent
from tests.http.corpus.outcome import objections
from tests.http.corpus.simulated import SimulatedWorld, simulated
from tests.http.corpus.trial import run_case

CUTS = int(os.environ.get("VCPROXY_CUTS", "3"))
"""Places to cut each case at, a sample from a fixed seed. 0: all of them, in two minutes."""
LONG = 2000
"""A case of more bytes is not cut everywhere: it is long only to exceed a limit."""


@pytest.fixture
def world(tmp_path: Path) -> Iterator[SimulatedWorld]:
    with simulated(tmp_path) as world:
        yield world


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_each_case_has_the_expected_outcome(case: Case, world: SimulatedWorld) -> None:
    assert objections(case, run_case(case, world, 0)) == []


def places(case: Case) -> list[int]:
    """Where to cut it."""
    all_of_them = range(1, len(sent(case)))
    if not CUTS and len(all_of_them) < LONG:
        return list(all_of_them)
    return Random(case.name).sample(all_of_them, min(CUTS or 3, len(all_of_them)))


def test_wherever_a_case_is_cut_the_outcome_is_the_same(world: SimulatedWorld) -> None:
    trials = [(case, cut) for case in CASES for cut in places(case)]
    wrong = {
        (case.name, cut): against
        for number, (case, cut) in enumerate(trials)
        if (against := objections(case, run_case(case, world, number, [cut])))
    }
    assert wrong == {}


def test_byte_by_byte_the_outcome_is_the_same(world: SimulatedWorld) -> None:
    wrong = {
        case.name: against
        for number, case in enumerate(CASES)
        if len(sent(case)) < LONG
        and (against := objections(case, run_case(case, world, number, range(1, len(sent(case))))))
    }
    assert wrong == {}
