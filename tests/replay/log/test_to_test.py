"""vcproxy log to-test: the written test passes, and fails if the plugin behaves differently."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.replay.log.conftest import BULK, GATED, LATE, ORDERS, SENT, Vcproxy
from tests.replay.log.test_show import numbers
from vcproxy.replay.log.literal import literal


def passes(test: Path) -> bool:
    """Run a test in a separate process; return whether it passes."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", test.name]
    done = subprocess.run(command, cwd=test.parent, capture_output=True, text=True, check=False)
    assert done.returncode in (0, 1), done.stdout
    return done.returncode == 0


@pytest.fixture
def desk(recorded: Path, tmp_path: Path) -> Path:
    """Return a copy of the recorded run, where plugins can be changed."""
    return Path(shutil.copytree(recorded, tmp_path / "desk"))


def test_every_conversation_makes_a_test_that_passes(
    vcproxy: Vcproxy, log: Path, tmp_path: Path
) -> None:
    for number in numbers(vcproxy, log):
        out = tmp_path / f"test_{number}.py"
        status, output, problem = vcproxy(
            "log", "to-test", log, "--conversation", number, "-o", out
        )
        assert (status, problem) == (0, "")
        assert output == f"{out}: run it with: python -m pytest {out}\n"
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(tmp_path)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert f"{len(SENT)} passed" in done.stdout, done.stdout


def nth(vcproxy: Vcproxy, log: Path, which: str) -> int:
    """Return the number of a conversation."""
    return numbers(vcproxy, log)[list(SENT).index(which)]


def test_lines_read_like_a_transcript(vcproxy: Vcproxy, log: Path) -> None:
    orders = nth(vcproxy, log, ORDERS)
    status, text, _ = vcproxy("log", "to-test", log, "--conversation", orders)
    assert status == 0
    assert (
        """\
            server < ok 1
            server > reply to ok 1
            client < reply to ok 1
            client > ok 2
            server < ok 2
"""
        in text
    )
    assert '{"answer": "no", "pattern": "ok.*"}'.replace('"', "'") in text


def test_long_data_is_exact_and_short(vcproxy: Vcproxy, log: Path) -> None:
    bulk = nth(vcproxy, log, BULK)
    _, text, _ = vcproxy("log", "to-test", log, "--conversation", bulk)
    assert 'b"x" * ' in text
    assert max(map(len, text.splitlines())) <= 100


def test_pauses_are_repeated_where_they_matter(vcproxy: Vcproxy, log: Path) -> None:
    late = nth(vcproxy, log, LATE)
    _, text, _ = vcproxy("log", "to-test", log, "--conversation", late)
    assert "proxy.elapse(0.2" in text
    assert 'assert received(client) == b"too late\\n"' in text


def test_calls_return_the_recorded_results(vcproxy: Vcproxy, log: Path) -> None:
    gated = nth(vcproxy, log, GATED)
    _, text, _ = vcproxy("log", "to-test", log, "--conversation", gated)
    assert "ANSWERS = [Accept(" in text
    assert "client < reply to ann" in text  # a real call would have rejected this message


def test_a_changed_plugin_fails_it(vcproxy: Vcproxy, desk: Path) -> None:
    log, plugin = desk / "run.log", desk / "patience.py"
    late = nth(vcproxy, log, LATE)
    test = desk / "test_late.py"
    assert vcproxy("log", "to-test", log, "--conversation", late, "-o", test)[0] == 0
    # The path in the log is that of the recorded plugin; the test changes a copy.
    test.write_text(re.sub(r"find\(.*\)", f'find("{plugin}")', test.read_text()))
    assert passes(test)
    plugin.write_text(plugin.read_text().replace("too late", "too soon"))
    assert not passes(test)


def test_a_conversation_that_cannot_be_repeated_becomes_no_test(
    vcproxy: Vcproxy, log: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out.log"
    vcproxy("log", "redact", log, "--pattern", "ok 1", "-o", out)
    orders = nth(vcproxy, log, ORDERS)
    status, text, problem = vcproxy("log", "to-test", out, "--conversation", orders)
    assert (status, text) == (1, "")
    assert problem.startswith(
        f"{out}: conversation {orders} cannot become a test: the simulation of it alone differs "
    )


def test_an_unknown_conversation_becomes_no_test(vcproxy: Vcproxy, log: Path) -> None:
    status, text, problem = vcproxy("log", "to-test", log, "--conversation", 999)
    assert (status, text) == (1, "")
    assert "did you mean" in problem


BYTES = st.binary(max_size=400) | st.builds(
    lambda unit, times, rest: unit * times + rest,
    st.binary(min_size=1, max_size=6),
    st.integers(1, 200),
    st.binary(max_size=40),
)


@given(BYTES)
def test_a_literal_evaluates_to_its_data(data: bytes) -> None:
    text = literal(data)
    assert eval(text) == data
    assert len(text) < 60 + 12 * len(data)
    assert max(map(len, text.splitlines())) <= 80
