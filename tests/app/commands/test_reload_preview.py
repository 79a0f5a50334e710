"""What `vcproxy -t --against OLD` prints: what changes if a file takes the place of another."""

from __future__ import annotations

from pathlib import Path

import pytest

from vcproxy.app.cli import main

PLUGIN = """\
from dataclasses import dataclass

from vcproxy.api import Secret, Session


class Front(Session):
    @dataclass(frozen=True)
    class Options:
        word: Secret | None = None
        words: tuple[str, ...] = ()
"""

OLD = """\
[proxy]
drain_timeout = "5s"
[[listener]]
name = "a"
bind = "tcp://127.0.0.1:1"
plugin = "front.py"
upstream = "u"
options = { word = "swordfish", words = ["x"] }
[[listener]]
name = "b"
bind = "tcp://127.0.0.1:2"
plugin = "front.py"
upstream = "v"
[upstream.u]
servers = ["tcp://127.0.0.1:3"]
[upstream.v]
servers = ["tcp://127.0.0.1:3"]
"""


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    """The file to check, and the old one, which stands elsewhere."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "front.py").write_text(PLUGIN)
    (tmp_path / "other").mkdir()
    new, old = Path("proxy.toml"), Path("other/old.toml")
    new.write_text(OLD)
    old.write_text(OLD)
    return new, old


def _printed(files: tuple[Path, Path], capsys: pytest.CaptureFixture[str], status: int = 0) -> str:
    new, old = files
    assert main(["-t", "-c", str(new), "--against", str(old)]) == status
    out, err = capsys.readouterr()
    return out.removeprefix(f"{new}: the configuration is valid\n") + err


def test_nothing(files: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    assert _printed(files, capsys) == "proxy.toml: beside other/old.toml changes nothing\n"


def test_each_change(files: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    new, _ = files
    text = OLD.replace('name = "b"', 'name = "c"').replace("v]", "w]").replace('"v"', '"w"')
    text = text.replace("1:1", "1:7").replace("swordfish", "marlin").replace('"x"', '"y"')
    text = text.replace('"5s"', '"6s"\nmemory = "1MiB"').replace(
        "[upstream.u]", "[upstream.u]\nretries = 1"
    )
    new.write_text(text + "[control]\nservice = 'other'\n[http]\ndirect = false\n")
    assert _printed(files, capsys) == (
        "proxy.toml: beside other/old.toml changes:\n"
        "  listener a: changed: bind, options.word, options.words\n"
        "  listener c: new\n"
        "  listener b: removed\n"
        "  upstream u: changed: retries\n"
        "  upstream w: new\n"
        "  upstream v: removed\n"
        "  key control.service: restart needed\n"
        "  key http.direct: changed\n"
        "  key proxy.drain_timeout: changed\n"
        "  key proxy.memory: restart needed\n"
    )


def test_an_old_file_with_errors(
    files: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    _, old = files
    old.write_text(OLD.replace("drain", "drane"))
    printed = _printed(files, capsys, 1)
    assert printed == (
        'other/old.toml:2:1: proxy.drane_timeout: unknown key; did you mean "drain_timeout"?\n'
    )


@pytest.mark.parametrize("option", [("--against", "old.toml"), ("--warnings-fatal",)])
def test_options_of_a_check_start_no_proxy(
    option: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["-c", "missing.toml", *option])
    assert ended.value.code == 2
    assert "are for a check: add -t" in capsys.readouterr().err
