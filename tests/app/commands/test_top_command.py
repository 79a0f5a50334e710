"""`vcproxy top`: what its screen shows, what its keys do, and what it says without a terminal."""

from __future__ import annotations

import io
import os
import pty
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from tests.control.dashboard.example import busy, sink
from vcproxy.app import cli
from vcproxy.app.commands.terminal_keys import SEQUENCES, TerminalKeys, keys_of
from vcproxy.app.commands.top_screen import screen
from vcproxy.app.commands.top_view import KEPT, SECTIONS, TopView, spark
from vcproxy.control.dashboard.picture import Picture, picture
from vcproxy.control.dashboard.samples import Sample


def shown(view: TopView, width: int = 80, height: int = 24, *, plain: bool = False) -> list[str]:
    """Return the lines of a screen about a proxy with some of everything."""
    output = io.StringIO()
    console = Console(file=output, width=width, color_system=None, highlight=False)
    console.print(screen(drawn(), view, width, height, plain=plain))
    return output.getvalue().splitlines()


def drawn() -> Picture:
    return picture(busy(59.0), busy(60.0))


def pressed(*keys: str) -> TopView:
    """Return a view after some keys."""
    view = TopView()
    for key in keys:
        view.pressed(key)
    return view


def names(view: TopView) -> list[str]:
    return [node.name for node in view.rows(drawn())]


# -- the screen ------------------------------------------------------------------------------------


def test_a_screen_of_80_columns() -> None:
    lines = shown(TopView())
    assert len(lines) <= 24
    assert max(map(len, lines)) <= 80
    assert lines[0].startswith("vcproxy  0.1.0, process 4711  up 26 h")
    assert lines[1].startswith("Open 1,260  New ")
    assert lines[2] == (
        "✕ 10.0.1.3:8080 of api is down: its health check: connection refused".ljust(len(lines[2]))
    )
    row = next(line for line in lines if line.startswith("● web"))
    assert row.split()[2:5] == ["http_proxy", "listener", row.split()[4]]
    assert "1,204 open" in row
    assert lines[-1].startswith("q quit  s sort")


@pytest.mark.parametrize(("width", "height"), [(40, 10), (80, 24), (100, 30), (200, 60)])
@pytest.mark.parametrize("plain", [False, True])
def test_it_fits_into_any_terminal(width: int, height: int, plain: bool) -> None:
    lines = shown(TopView(), width, height, plain=plain)
    assert len(lines) <= height
    assert max(map(len, lines)) <= width
    if plain:
        assert all(line.isascii() for line in lines)


def test_once_shows_all_rows_and_no_keys() -> None:
    lines = shown(TopView(), height=0)
    assert any("10.0.3.9:40112" in line and "drops" in line for line in lines)
    assert any("unix:/run/echo.sock" in line or "echo" in line for line in lines)
    assert not any("q quit" in line for line in lines)


def test_what_clients_are_named_does_not_control_the_terminal() -> None:
    evil = sink("quotes", "\x1b[2Jevil")
    answers = Sample(60.0, {**busy(60.0).rows, "sinks": [evil]})
    output = io.StringIO()
    console = Console(file=output, width=80, color_system=None)
    console.print(screen(picture(None, answers), TopView(), 80, 0, plain=False))
    assert "\x1b" not in output.getvalue()
    assert "\\x1b[2Jevil" in output.getvalue()


def test_bars_of_the_last_rates() -> None:
    assert spark([0, 1, 2, 4, 8], 4) == "▂▃▅█"
    assert spark([0, 0], 8) == "▁▁"
    assert spark([], 8) == ""


# -- the keys --------------------------------------------------------------------------------------


def test_rows_are_sorted_by_rate_state_or_as_configured() -> None:
    rates = [node.rate or 0.0 for node in TopView().rows(drawn())]
    assert rates == sorted(rates, reverse=True)
    assert names(pressed("s"))[:3] == ["10.0.1.3:8080", "10.0.3.9:40112", "10.0.2.2:5432"]
    assert names(pressed("s", "s"))[:2] == ["web", "db"]
    assert pressed("s", "s", "s").sort == "rate"


def test_the_arrows_choose_what_is_shown() -> None:
    assert pressed("right").section == "listeners"
    assert {node.kind for node in pressed("right").rows(drawn())} == {"listener"}
    assert {node.kind for node in pressed("left").rows(drawn())} == {"sink", "mirror"}
    assert pressed(*["right"] * len(SECTIONS)).section == "all"


def test_rows_scroll() -> None:
    first = names(TopView())
    assert names(pressed("down", "down")) == first[2:]
    assert names(pressed("down", "up", "up")) == first
    assert names(pressed(*["down"] * 100)) == first[-1:]


def test_a_filter_is_typed() -> None:
    assert set(names(pressed("/", *"posq", "erase", "t", "enter"))) == {
        "10.0.2.1:5432",
        "10.0.2.2:5432",
    }
    assert pressed("/", "q").ended is False, "it is part of the text"
    assert pressed("/", "x", "esc").text == ""
    assert pressed("/", "x", "enter", "esc").text == ""


def test_it_pauses_and_ends() -> None:
    assert pressed("p").paused
    assert not pressed("p", "p").paused
    assert pressed("q").ended
    assert pressed("/", "interrupt").ended


def test_rates_of_what_is_gone_are_forgotten() -> None:
    view = TopView()
    for second in range(KEPT + 10):
        view.seen(picture(busy(float(second)), busy(second + 1.0)))
    assert len(view.rates["listener web"]) == KEPT
    now = busy(101.0)
    view.seen(picture(busy(100.0), type(now)(now.at, {})))
    assert view.rates == {}


@given(st.lists(st.sampled_from([*SEQUENCES.values(), *"qsp/xyä "])))
def test_any_keys_leave_a_screen(keys: list[str]) -> None:
    view = pressed(*keys)
    assert len(shown(view)) <= 24


@given(st.binary(max_size=20))
def test_any_bytes_are_keys(data: bytes) -> None:
    assert all(keys_of(data))


def test_keys_of_a_terminal() -> None:
    primary, terminal = pty.openpty()
    try:
        with TerminalKeys(terminal) as keys:
            assert keys.read(0.0) == []
            os.write(primary, b"s\x1b[A\x1b[D\xc3\xa4\r")
            assert keys.read(10.0) == ["s", "up", "left", "ä", "enter"]
            os.write(primary, b"\x1b")
            assert keys.read(10.0) == ["esc"]
    finally:
        os.close(primary)
        os.close(terminal)


# -- without a terminal, or a library --------------------------------------------------------------


def test_a_wrong_option(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main(["top", "--interval", "soon"])
    assert ended.value.code == 2
    assert "--interval" in capsys.readouterr().err


def test_without_rich(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setitem(sys.modules, "rich", None)
    assert cli.main(["top", "--once", "--at", "unix:/nowhere.sock"]) == 2
    assert "--json does without it: pip install rich\n" in capsys.readouterr().err


def test_nothing_runs_there(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["top", "--once", "--at", "unix:/nowhere.sock"]) == 3
    assert "unix:/nowhere.sock: no such file or directory" in capsys.readouterr().err
