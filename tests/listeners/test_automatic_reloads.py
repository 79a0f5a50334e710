"""When a change of files is a reload: as transcripts of events and calls."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from vcproxy.config.loader import Configuration, load
from vcproxy.listeners.automatic_reloads import AutomaticReloads

TEXT = (
    '[proxy]\nwatch = true\n[[listener]]\nname = "a"\nbind = "tcp://127.0.0.1:1"\nplugin = "echo"\n'
)


class World:
    """A configuration, and what was called."""

    def __init__(self, file: Path, text: str = TEXT) -> None:
        self.file = file
        self.name = file.parent.joinpath
        file.write_text(text)
        self.calls: list[str] = []
        self.answer: Callable[[bool], None]
        self.reloads = AutomaticReloads(
            load(file), watch=self.watch, compare=self.compare, reload=self.reload
        )

    def watch(self, reloading: Sequence[Path], renewing: Sequence[Path], *, again: bool) -> None:
        names = " ".join(path.name for path in reloading)
        self.calls.append(f"watch {names}{' again' if again else ''}")

    def compare(self, configuration: Configuration, then: Callable[[bool], None]) -> None:
        assert configuration is self.reloads.configuration
        self.calls.append("compare")
        self.answer = then

    def reload(self) -> None:
        self.calls.append("reload")

    def taken(self) -> list[str]:
        """The calls since the last time."""
        calls, self.calls = self.calls, []
        return calls

    def another(self) -> Configuration:
        return replace(self.reloads.configuration)


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path / "proxy.toml")


def test_a_change_is_compared_then_reloaded_and_watched_again(world: World) -> None:
    world.reloads.watch()
    assert world.taken() == ["watch proxy.toml"]
    world.reloads.changed()
    assert world.taken() == ["compare"]
    world.answer(True)
    assert world.taken() == ["reload"]
    world.reloads.begun()
    world.reloads.used(world.another())
    assert world.taken() == ["watch proxy.toml again"]


def test_what_is_in_use_already_is_not_reloaded(world: World) -> None:
    world.reloads.changed()
    world.answer(False)
    assert world.taken() == ["compare"]


def test_a_refused_configuration_is_logged_once_and_its_files_are_watched(world: World) -> None:
    files = [world.name("own.py")]
    for logged in (True, False, False):
        world.reloads.changed()
        world.answer(True)
        assert world.taken() == ["compare", "reload"]
        assert world.reloads.refused("own.py is not there", files) is logged
        assert world.taken() == ["watch proxy.toml own.py"]
    assert world.reloads.refused("another reason", files)


def test_files_put_back_after_a_refusal_are_reloaded_so_that_it_is_reported_no_more(
    world: World,
) -> None:
    world.reloads.refused("proxy.toml is not there")
    world.taken()
    world.reloads.changed()
    world.answer(False)
    assert world.taken() == ["compare", "reload"]
    world.reloads.used(world.another())
    assert world.reloads.refused("proxy.toml is not there"), "a new refusal is logged"


def test_who_asks_gets_an_answer(world: World) -> None:
    assert world.reloads.refused("wrong")
    world.reloads.asked()
    world.reloads.begun()
    assert world.reloads.refused("wrong")


def test_once_it_was_valid_the_same_error_is_logged_again(world: World) -> None:
    assert world.reloads.refused("wrong")
    world.reloads.used(world.another())
    assert world.reloads.refused("wrong")


def test_changes_during_a_reload_wait_for_its_end(world: World) -> None:
    world.reloads.begun()
    world.reloads.changed()
    world.reloads.changed()
    assert world.taken() == []
    world.reloads.refused("wrong")
    assert world.taken() == ["watch proxy.toml", "compare"]
    world.answer(True)
    assert world.taken() == ["reload"]
    world.reloads.changed()
    world.reloads.used(world.another())
    assert world.taken() == ["watch proxy.toml again"], "which reads them anyway"


def test_a_comparison_with_what_is_not_in_use_any_more_is_repeated(world: World) -> None:
    world.reloads.changed()
    world.reloads.begun()
    world.reloads.used(world.another())
    assert world.taken() == ["compare", "watch proxy.toml again"]
    world.answer(True)
    assert world.taken() == ["compare"]
    world.answer(False)
    assert world.taken() == []


def test_a_comparison_that_ends_during_a_reload_is_repeated_after_it(world: World) -> None:
    world.reloads.changed()
    world.reloads.begun()
    world.answer(True)
    assert world.taken() == ["compare"]
    world.reloads.refused("wrong")
    assert world.taken() == ["watch proxy.toml", "compare"]


def test_without_watch_only_certificates_are_watched(world: World) -> None:
    world.file.write_text(world.file.read_text().replace("true", "false"))
    world.reloads.used(load(world.file))
    assert world.taken() == ["watch  again"]


def test_without_watch_only_the_files_that_options_name_are_read_again(tmp_path: Path) -> None:
    (tmp_path / "tokens").write_text("ci:0123456789abcdef\n")
    text = TEXT.replace("watch = true", "watch = false").replace(
        'plugin = "echo"', 'plugin = "http_proxy"\noptions.bearer.tokens = "tokens"'
    )
    text += "[[listener.options.routes]]\nanswer = {}\n"
    world = World(tmp_path / "proxy.toml", text)
    world.reloads.watch()
    assert world.taken() == ["watch tokens"]
    world.reloads.changed()
    world.answer(True)
    assert (world.taken(), world.reloads.contents_only) == (["compare", "reload"], True)
    world.reloads.asked()
    assert not world.reloads.contents_only, "an operator's reload reads everything"
    world.reloads.used(world.another())
    assert world.taken() == ["watch tokens again"]


def test_with_watch_everything_is_read_again(world: World) -> None:
    world.reloads.changed()
    world.answer(True)
    assert not world.reloads.contents_only
