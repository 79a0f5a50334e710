"""Each case of the corpus has the same result on both paths, also when it is repeated: then an idle
connection of the server is there, and a request may be passed on directly."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.http.corpus import CASES
from tests.http.corpus.case import Case
from tests.http.corpus.simulated import simulated
from tests.http.corpus.trial import run_case

BATCHES = [CASES[n::8] for n in range(8)]


@pytest.mark.parametrize("batch", BATCHES, ids=range(8))
def test_each_case_has_the_same_result(batch: list[Case], tmp_path: Path) -> None:
    for case in batch:
        with (
            simulated(tmp_path) as direct,
            simulated(tmp_path, more="[http]\ndirect = false\n") as ordinary,
        ):
            for number in range(3):
                seen = run_case(case, direct, number)
                assert seen == run_case(case, ordinary, number), case.name
            assert direct.log == ordinary.log
