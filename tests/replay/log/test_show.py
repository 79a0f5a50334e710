"""vcproxy log show and stat: the conversations, events and figures of a log."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.replay.log.conftest import BULK, SENT, Vcproxy
from vcproxy.replay.format.frames import VERSION
from vcproxy.replay.log import show


def numbers(vcproxy: Vcproxy, log: Path) -> list[int]:
    """Return the numbers of the conversations of a log."""
    status, listed, _ = vcproxy("log", "show", log)
    assert status == 0
    return [int(line.split()[0]) for line in listed.splitlines()[1:]]


def test_each_conversation_is_listed(vcproxy: Vcproxy, log: Path) -> None:
    status, listed, problems = vcproxy("log", "show", log)
    assert (status, problems) == (0, "")
    title, *lines = (re.split(r"  +", line) for line in listed.splitlines())
    assert title[:3] == ["number", "listener", "client"]
    assert [line[1] for line in lines] == [name.strip() for name in SENT]
    assert [int(line[6]) for line in lines] == [sum(map(len, sent)) for sent in SENT.values()]
    received = {line[1]: int(line[7]) for line in lines[:4]}
    assert received == {"front": 43, "orders": 31, "gate": 13, "patience": 9}
    assert lines[0][8] == "ended by the client"
    assert lines[3][8] == "ended by vcproxy"
    assert lines[3][3] == "-"


def test_a_time_selects_the_conversations_open_then(vcproxy: Vcproxy, log: Path) -> None:
    assert len(vcproxy("log", "show", log, "--to", "1us")[1].splitlines()) == 1
    assert len(vcproxy("log", "show", log, "--from", "0")[1].splitlines()) == 1 + len(SENT)
    assert len(vcproxy("log", "show", log, "--from", "1h")[1].splitlines()) == 1


def test_the_events_of_a_conversation_are_listed(vcproxy: Vcproxy, log: Path) -> None:
    status, listed, _ = vcproxy("log", "show", log, "--conversation", 1)
    assert status == 0
    events = [re.split(r"step \d+ +", line)[1] for line in listed.splitlines()]
    assert re.match(r"client   connects front 127\.0\.0\.1:\d+", events[0])
    assert "server   refused" in listed
    assert (
        events.index("client   sends 6 b'hello\\n'")
        < events.index("server2  receives 6 b'hello\\n'")
        < events.index("client   receives 15 b'reply to hello\\n'")
    )
    assert {"client   ends", "server2  closed", "client   closed"} <= set(events)


def test_long_data_is_abbreviated(vcproxy: Vcproxy, log: Path) -> None:
    bulk = numbers(vcproxy, log)[list(SENT).index(BULK)]
    _, listed, _ = vcproxy("log", "show", log, "--conversation", bulk)
    assert re.search(r"sends \d+ b'x{60}' and \d+ more", listed)
    assert max(map(len, listed.splitlines())) < 400


def test_the_number_of_a_server_selects_its_conversation(vcproxy: Vcproxy, log: Path) -> None:
    _, of_client, _ = vcproxy("log", "show", log, "--conversation", 1)
    assert vcproxy("log", "show", log, "--conversation", 2) == (0, of_client, "")


def test_a_diagram_is_printed(vcproxy: Vcproxy, log: Path) -> None:
    orders = numbers(vcproxy, log)[1]
    status, drawn, _ = vcproxy("log", "show", log, "--conversation", orders, "--mermaid")
    assert status == 0
    assert drawn.startswith("sequenceDiagram\n    participant client\n    participant vcproxy\n")
    assert "    client->>vcproxy: b'bad\\n'\n    vcproxy->>client: b'no\\n'\n" in drawn


def test_a_long_diagram_is_shortened(
    vcproxy: Vcproxy, log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(show, "ARROWS", 3)
    _, drawn, _ = vcproxy("log", "show", log, "--conversation", 1, "--mermaid")
    assert re.search(r"Note over vcproxy: and \d+ more\n$", drawn)


def test_stat_prints_sizes_and_counts(vcproxy: Vcproxy, log: Path) -> None:
    status, figures, _ = vcproxy("log", "stat", log)
    assert status == 0
    assert f"configuration  {log.parent / 'proxy.toml'}\n" in figures
    assert re.search(r"^plugins +forward, validate, .*gate\.py, .*patience\.py$", figures, re.M)
    assert re.search(r"^seeds +\d+, PYTHONHASHSEED 0$", figures, re.M)
    assert re.search(r"^ +6  Accepted$", figures, re.M)
    assert re.search(r"^overhead +\d+B, \d+ a turn, [\d.]+% of what was received$", figures, re.M)


# -- failures ---------------------------------------------------------------------------------


def test_an_unknown_number_is_refused(vcproxy: Vcproxy, log: Path) -> None:
    status, _, problem = vcproxy("log", "show", log, "--conversation", 999)
    last = numbers(vcproxy, log)[-1]
    assert status == 1
    assert problem == (
        f"there is no conversation 999; did you mean {last}? There are 6, from 1 to {last}: "
        "vcproxy log show LOG lists them\n"
    )


@pytest.mark.parametrize("command", [("stat",), ("show",), ("show", "--conversation", "1")])
@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "the file is empty: nothing was recorded"),
        (b"[proxy]\nworkers = 1\n", "not a log of vcproxy --record"),
        (
            b"vcproxy\0\x63\0\0\0",
            f"log of version 99, but this vcproxy reads version {VERSION}:",
        ),
    ],
)
def test_a_file_that_is_no_log_is_refused(
    vcproxy: Vcproxy, tmp_path: Path, command: tuple[str, ...], content: bytes, problem: str
) -> None:
    (tmp_path / "no.log").write_bytes(content)
    status, output, problems = vcproxy("log", *command, tmp_path / "no.log")
    assert (status, output) == (1, "")
    assert problems.startswith(f"{tmp_path / 'no.log'}: {problem}")
    assert vcproxy("log", *command, tmp_path / "none.log")[0] == 1


def test_an_unfinished_log_is_shown_up_to_its_last_turn(
    vcproxy: Vcproxy, log: Path, tmp_path: Path
) -> None:
    short = tmp_path / "short.log"
    short.write_bytes(log.read_bytes()[:-7])
    for command in ("show", "stat"):
        status, output, problem = vcproxy("log", command, short)
        assert status == 0
        assert problem == f"{short}: the last turn is incomplete and is ignored\n"
        assert len(output.splitlines()) > len(SENT)


def test_a_broken_log_is_shown_up_to_the_broken_place(
    vcproxy: Vcproxy, log: Path, tmp_path: Path
) -> None:
    broken = tmp_path / "broken.log"
    content = bytearray(log.read_bytes())
    content[-40] ^= 1
    broken.write_bytes(content)
    for command in ("show", "stat"):
        status, output, problem = vcproxy("log", command, broken)
        assert status == 1
        assert re.match(r".*: step \d+, at byte \d+: .*; the log is readable up to", problem)
        assert len(output.splitlines()) > len(SENT)


def test_a_diagram_needs_a_conversation(vcproxy: Vcproxy, log: Path) -> None:
    status, _, problem = vcproxy("log", "show", log, "--mermaid")
    assert (status, problem) == (
        1,
        "--mermaid draws one conversation: choose it with --conversation N\n",
    )


@pytest.mark.parametrize("wrong", [("--from", "soon"), ("--conversation", "x")])
def test_a_wrong_command_line_is_refused(
    vcproxy: Vcproxy, log: Path, wrong: tuple[str, str]
) -> None:
    assert vcproxy("log", "show", log, *wrong)[0] == 2


def test_the_reader_of_the_output_has_gone(log: Path) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    try:
        done = subprocess.run(
            [sys.executable, "-m", "vcproxy", "log", "stat", log],
            stdout=writing,
            stderr=subprocess.PIPE,
            text=True,
            timeout=60,
            check=False,
        )
    finally:
        os.close(writing)
    assert (done.returncode, done.stderr) == (128 + signal.SIGPIPE, "")
