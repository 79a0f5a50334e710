"""The corpus on real programs, over loopback: vcproxy gives the expected results, others those of
the page."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random

import pytest

from tests.bench.peer import PATH
from tests.http.corpus import CASES
from tests.http.corpus.case import Case, sent
from tests.http.corpus.outcome import Outcome, objections, outcome
from tests.http.corpus.peers import PEERS, proxy
from tests.http.corpus.runner import LOOPBACK, run
from tests.http.corpus.simulated import CONFIGURATION
from vcproxy.testing.running import Running

pytestmark = pytest.mark.e2e
CASE = {case.name: case for case in CASES}


@contextmanager
def vcproxy(server: int) -> Iterator[int]:
    """Run the real program, with the server at that port."""
    with tempfile.TemporaryDirectory() as name:
        file = Path(name) / "corpus.toml"
        file.write_text(
            CONFIGURATION.format(
                bind=f"{LOOPBACK}:0", plugin="http_proxy", server=f"{LOOPBACK}:{server}"
            )
        )
        running = Running(file)
        try:
            yield running.port("corpus")
            assert "Traceback" not in running.log
        finally:
            running.kill()


def test_vcproxy_passes_each_case_whole_and_cut() -> None:
    random = Random(1)
    whole = [(case, ()) for case in CASES]
    cut = [(case, (random.randrange(1, len(sent(case))),)) for case in CASES]
    trials: list[tuple[Case, tuple[int, ...]]] = [*whole, *cut]
    wrong = {
        (case.name, *cuts): against
        for (case, cuts), seen in zip(trials, run(vcproxy, trials), strict=True)
        if (against := objections(case, seen))
    }
    assert wrong == {}


@pytest.mark.parametrize("name", PEERS)
def test_outcomes_of_other_proxies_are_classified(name: str) -> None:
    if not shutil.which(PEERS[name].command[0], path=PATH):
        pytest.skip(f"{name} is not installed")
    cases = [CASE["method-get"], CASE["length-with-plus"], CASE["nominated-field-is-removed"]]
    seen = run(proxy(PEERS[name]), [(case, ()) for case in cases])
    outcomes = [outcome(case, each) for case, each in zip(cases, seen, strict=True)]
    assert outcomes == [Outcome.ACCEPTED, Outcome.REFUSED, Outcome.ACCEPTED]
    assert objections(cases[2], seen[2]) == ["X-A was not removed"]
