"""vcproxy log redact: no match stays in a log, even if it spans several reads."""

from __future__ import annotations

import re
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.replay.log.conftest import HASH_SEED, Vcproxy
from tests.replay.logs import HEADER, written
from vcproxy.replay.format import entries as e
from vcproxy.replay.format.reader import RecordingLog
from vcproxy.replay.format.redaction import Search, redacted
from vcproxy.replay.format.values import DataclassValue, FailureValue
from vcproxy.replay.log.annotated import LogPass
from vcproxy.replay.log.redact import redact

PATTERNS = [rb"pass=\w+", rb"[0-9]{3,}", rb"(?i)SECRET", rb"a|ab", rb"\bb+\b", rb"^p", rb"z*"]


def test_no_secret_stays_in_a_log(vcproxy: Vcproxy, log: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.log"
    assert b"pass=se" in log.read_bytes()
    status, output, _ = vcproxy("log", "redact", log, "--pattern", r"pass=\w+", "-o", out)
    assert status == 0
    assert re.fullmatch(rf"{out}: \d matches replaced by x\n", output)
    content = out.read_bytes()
    assert b"pass=" not in content
    assert b"xxx and on" in content
    assert RecordingLog(out).header.marks == ("redacted",)
    listed = vcproxy("log", "show", out, "--conversation", 1)[1]
    assert "client   receives 28 b'reply to xxxxxxxxxxx and on\\n'" in listed
    assert vcproxy("replay", out)[1].endswith(
        "all as recorded; redacted: outputs were not compared\n"
    )


def test_a_replay_that_differs_because_of_redaction_is_explained(
    vcproxy: Vcproxy, log: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out.log"
    vcproxy("log", "redact", log, "--pattern", r"\n", "-o", out)  # all line ends are redacted
    status, _, problem = vcproxy("replay", out)
    assert status == 1
    assert (
        "the log is redacted: a plugin may act differently without the redacted content" in problem
    )


def test_a_redacted_log_can_be_cut(vcproxy: Vcproxy, log: Path, tmp_path: Path) -> None:
    out, less = tmp_path / "out.log", tmp_path / "less.log"
    vcproxy("log", "redact", log, "--pattern", "hello", "--pattern", "and", "-o", out)
    assert vcproxy("log", "cut", out, "--conversation", 1, "-o", less)[0] == 0
    assert RecordingLog(less).header.marks == ("redacted", "cut")
    listed = vcproxy("log", "show", less, "--conversation", 1)[1]
    assert "server2  receives 6 b'xxxxx\\n'" in listed


def test_a_broken_log_is_redacted_up_to_the_broken_place(
    vcproxy: Vcproxy, log: Path, tmp_path: Path
) -> None:
    broken, out = tmp_path / "broken.log", tmp_path / "out.log"
    content = bytearray(log.read_bytes())
    content[-40] ^= 1
    broken.write_bytes(content)
    status, _, problem = vcproxy("log", "redact", broken, "--pattern", "pass", "-o", out)
    assert status == 1
    assert "the log is readable up to there" in problem
    assert vcproxy("log", "show", out)[0] == 0


def test_a_wrong_pattern_is_refused(vcproxy: Vcproxy, log: Path, tmp_path: Path) -> None:
    status, _, problem = vcproxy("log", "redact", log, "--pattern", "(", "-o", tmp_path / "o")
    assert status == 2
    assert '"(" is not a regular expression' in problem


def test_results_of_calls_are_redacted(tmp_path: Path) -> None:
    value = ["secret", {"k": b"a secret", "n": 3}, DataclassValue("m", "Accept", (b"secret",))]
    failure = FailureValue("builtins", "ValueError", ("no secret",))
    turns: list[list[e.Entry]] = [
        [e.ClockEntry(1.0), e.CalledEntry(1, value, failure, "ask b'secret'")],
        [e.CommandsEntry(77, ("Call 2 ask b'secret'", "Connect 3 tcp://secret:1"))],
    ]
    written(tmp_path / "a.log", turns)
    redact(LogPass(tmp_path / "a.log"), [re.compile(b"secret")], (), tmp_path / "b.log", nothing)
    assert [entry for _, entry in RecordingLog(tmp_path / "b.log").steps()][1:] == [
        e.CalledEntry(
            1,
            ["xxxxxx", {"k": b"a xxxxxx", "n": 3}, DataclassValue("m", "Accept", (b"xxxxxx",))],
            FailureValue("builtins", "ValueError", ("no xxxxxx",)),
            "ask b'xxxxxx'",
        ),
        e.CommandsEntry(0, ("Call 2 ask b'xxxxxx'", "Connect 3 tcp://xxxxxx:1")),
    ]


def nothing() -> None:
    """Ignore the progress."""


def cuts(whole: bytes, places: list[int]) -> list[bytes]:
    """Return the data in pieces, some of which may be empty."""
    edges = [0, *sorted(place % (len(whole) + 1) for place in places), len(whole)]
    return [whole[a:b] for a, b in pairwise(edges)]


TEXTS = st.text("ab1290 =zSECRETpass\n", max_size=120).map(str.encode)


@given(TEXTS, st.lists(st.integers(0, 200), max_size=8), st.sampled_from(PATTERNS))
def test_a_search_finds_the_same_in_all_divisions_of_a_stream(
    whole: bytes, places: list[int], pattern: bytes
) -> None:
    compiled = re.compile(pattern)
    search = Search(compiled, window=30)
    out = bytearray(whole)
    spans = [span for piece in cuts(whole, places) for span in search.feed(piece)]
    for begin, end in [*spans, *search.close()]:
        out[begin:end] = b"x" * (end - begin)
    longest = max((len(match[0]) for match in compiled.finditer(whole)), default=0)
    if longest <= 30:
        assert out == redacted([compiled], whole)


@given(
    TEXTS,
    TEXTS,
    st.lists(st.integers(0, 200), max_size=5),
    st.lists(st.sampled_from(PATTERNS), min_size=1, max_size=3),
)
def test_a_log_is_redacted_in_all_divisions_of_its_streams(
    tmp_path_factory: pytest.TempPathFactory,
    first: bytes,
    second: bytes,
    places: list[int],
    patterns: list[bytes],
) -> None:
    folder = tmp_path_factory.mktemp("log")
    compiled = [re.compile(pattern) for pattern in patterns]
    sent: dict[int, list[bytes]] = {1: cuts(first, places), 2: cuts(second, places)}
    turns: list[list[e.Entry]] = []
    for one, two in zip(sent[1], sent[2], strict=True):
        turns.append([e.ReceivedEntry(1, False, one), e.PassedEntry(2, 1, 0, False, two)])
    written(folder / "a.log", turns, HEADER)
    redact(LogPass(folder / "a.log"), compiled, (), folder / "b.log", nothing)
    received = {1: b"", 2: b""}
    for _, entry in RecordingLog(folder / "b.log").steps():
        assert isinstance(entry, e.ReceivedEntry | e.PassedEntry)
        received[entry.vc] += entry.data
    assert received == {1: redacted(compiled, first), 2: redacted(compiled, second)}


CONFIGURED = """
# the token is secret-1
[[listener]]
name = "gate"
bind = "tcp://127.0.0.1:1"
plugin = "gate.py"
options = { token = "secret-2", note = 'pass=secret-3' }
"""

PLUGIN = b'''
"""Contains secret-4."""
from dataclasses import dataclass
from vcproxy.api import Validator, Verdict, Accept

class Gate(Validator):
    needs_upstream = False

    @dataclass
    class Options:
        token: str = f"secret-5"  # secret-6
        note: str = ""

    def check(self, message: bytes) -> Verdict:
        secret_word = b"pass=secret-7"
        return Accept()
'''


def test_configuration_and_plugins_are_redacted(vcproxy: Vcproxy, tmp_path: Path) -> None:
    log, out = tmp_path / "a.log", tmp_path / "b.log"
    header = replace(HEADER, configuration=CONFIGURED)
    file = tmp_path / "proxy.toml"
    header = replace(header, file=str(file), sources={str(tmp_path / "gate.py"): PLUGIN})
    header = replace(header, hash_seed=HASH_SEED)
    written(log, [[e.ClockEntry(1.0), e.ServeEntry(CONFIGURED, dict(header.sources), ())]], header)
    status, _, problem = vcproxy("log", "redact", log, "--pattern", r"secret-\d\S*", "-o", out)
    assert (status, problem) == (0, "")
    content = out.read_bytes()
    assert b"secret-" not in content
    assert content.count(b'"xxxxxxxx"') == 2 * 2, "the token and its default, twice"
    assert b"secret_word = b" in content, "it is still a program"


def test_no_log_is_written_if_redaction_breaks_the_configuration(
    vcproxy: Vcproxy, log: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out.log"
    status, _, problem = vcproxy("log", "redact", log, "--pattern", "tcp", "-o", out)
    assert status == 1
    assert "does not load after redaction" in problem
    assert list(tmp_path.iterdir()) == []
