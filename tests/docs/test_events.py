"""The examples of docs/how-to/events.md run, all in one proxy, and print what the page shows."""

from __future__ import annotations

import os
import re
import signal
from itertools import pairwise
from pathlib import Path

import pytest

from tests.docs.pages import ROOT, blocks
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
    listeners = []
    for block in blocks(PAGE, "python"):
        name = block.text.partition("\n")[0].removeprefix("# ")
        (tmp_path / name).write_text(block.text)
        if "(Program)" in block.text:
            listeners.append(f'[[listener]]\nname = "{Path(name).stem}"\nplugin = "{name}"\n')
    (tmp_path / "proxy.toml").write_text("\n".join(listeners))
    running = Running(tmp_path / "proxy.toml")
    try:
        os.kill(running.pid, signal.SIGUSR2)
        running.wait_for("the settings were read")
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


def test_the_table_and_the_examples_name_the_same_sources() -> None:
    page = PAGE.read_text()
    (table,) = re.findall(r"(?:^\|.*\n)+", page, re.MULTILINE)[:1]
    assert set(re.findall(r"\(#([\w-]+)\)", table)) <= {
        title.lower().replace(" ", "-") for title in re.findall(r"^## (.*)$", page, re.MULTILINE)
    }
