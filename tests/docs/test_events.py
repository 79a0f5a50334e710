"""The examples of docs/how-to/events.md run, all in one proxy, and print what the page shows."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest

from tests.docs.pages import ROOT, blocks
from vcproxy import api
from vcproxy.engine.sources.source import Source
from vcproxy.testing.running import Running, eventually

PAGE = ROOT / "docs" / "how-to" / "events.md"


def examples() -> dict[str, list[str]]:
    """Return the lines that an example prints, by the name of its file."""
    shown = blocks(PAGE, "python", "text")
    found = {}
    for block, following in pairwise([*shown, *shown[:1]]):
        if block.info == "python" and following.info == "text":
            found[block.text.partition("\n")[0].removeprefix("# ")] = following.text.splitlines()
    return found


def test_the_examples_print_what_the_page_shows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))  # no other proxy is found there
    listeners = []
    for block in blocks(PAGE, "python"):
        name = block.text.partition("\n")[0].removeprefix("# ")
        (tmp_path / name).write_text(block.text)
        if "(Program)" in block.text:
            listeners.append(f'[[listener]]\nname = "{Path(name).stem}"\nplugin = "{name}"\n')
    (tmp_path / "proxy.toml").write_text("\n".join(listeners))
    os.mkfifo("readings")
    running = Running(tmp_path / "proxy.toml")
    try:
        os.kill(running.pid, signal.SIGUSR2)
        signalled = [sys.executable, "-m", "vcproxy", "signal", "DOOR1"]
        assert subprocess.run(signalled, capture_output=True, check=True).stdout == b"DONE\n"
        running.wait_for("the settings were read")
        (tmp_path / "readings").write_text("21.5\n")
        (tmp_path / "settings.json").write_text("{}")
        (tmp_path / "inbox").mkdir()
        (tmp_path / "inbox" / "today.csv").write_text("1;2")
        for name, lines in examples().items():
            pattern = re.compile("^" + r"\n(?:.*\n)*?".join(map(re.escape, lines)) + "$", re.M)
            eventually(lambda p=pattern: bool(p.search(running.log)), f"{name} prints {lines}")  # type: ignore[misc]
        running.stop()
    except AssertionError as error:
        raise AssertionError(f"{error}; the log:\n{running.log}") from None
    finally:
        running.kill()


def test_each_kind_of_source_is_on_the_page() -> None:
    kinds = {
        name
        for name in api.__all__
        if isinstance(kind := getattr(api, name), type) and issubclass(kind, Source)
    }
    assert len(kinds) > 8
    assert {name for name in kinds if f"`{name}`" not in PAGE.read_text()} == set()
