"""Access logs of a configuration: which listener has which, and what a reload changes."""

from __future__ import annotations

from collections.abc import Hashable
from functools import partial
from pathlib import Path

import pytest

from vcproxy.config.loader import load
from vcproxy.drivers.sim import Peer
from vcproxy.testing.configured import ConfiguredProxy

ECHO = """
[[listener]]
name = "{name}"
bind = "tcp://127.0.0.1:{port}"
plugin = "echo"
{own}
"""


class Lists:
    """Targets that are lists of lines. See AccessTargets."""

    def __init__(self) -> None:
        self.lines: dict[str, list[str]] = {}
        self.opened: set[Hashable] = set()
        self.refused = ""

    def open(self, targets: frozenset[Hashable]) -> None:
        for target in targets:
            if str(target).endswith(self.refused or "/"):
                raise OSError(f"cannot open the access log {target}: permission denied")
        self.opened |= targets

    def sink(self, target: Hashable) -> partial[None]:
        assert target in self.opened
        return partial(self._put, Path(str(target)).name)

    def _put(self, name: str, line: bytes) -> None:
        self.lines.setdefault(name, []).append(line.decode().rstrip("\n"))

    def keep(self, targets: frozenset[Hashable]) -> None:
        self.opened &= targets

    def time_of_day(self) -> float:
        return 0.0


class World:
    """A proxy in simulation, of a file that is written again and again."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / "proxy.toml"
        self.targets = Lists()

    def start(self, text: str) -> ConfiguredProxy:
        self.file.write_text(text)
        return ConfiguredProxy(load(self.file), access_targets=self.targets)

    def reload(self, proxy: ConfiguredProxy, text: str) -> None:
        self.file.write_text(text)
        proxy.reload(load(self.file))
        proxy.sim.elapse(0.1)


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def session(proxy: ConfiguredProxy, name: str = "a") -> Peer:
    """A client that has sent a byte and got it back."""
    client = proxy.client(name)
    client.send(b"x")
    proxy.sim.run(until=lambda: client.received == b"x")
    return client


def end(proxy: ConfiguredProxy, client: Peer) -> None:
    client.end()
    proxy.sim.elapse(0.1)


FORM = 'format = "{listener} {bytes_up} {end}"\n'


def test_a_listener_may_have_its_own_or_none(world: World) -> None:
    text = '[access_log]\nfile = "a.log"\n' + FORM
    text += ECHO.format(name="a", port=1, own="")
    text += ECHO.format(name="b", port=2, own="access_log = false")
    text += ECHO.format(name="c", port=3, own='access_log = { file = "c.log" }')
    with world.start(text) as proxy:
        for name in "abc":
            end(proxy, session(proxy, name))
    assert world.targets.lines == {"a.log": ["a 1 --"], "c.log": ["c 1 --"]}


def test_a_reload_moves_records_of_open_sessions_too(world: World) -> None:
    listener = ECHO.format(name="a", port=1, own="")
    with world.start(f'[access_log]\nfile = "a.log"\n{FORM}{listener}') as proxy:
        first = session(proxy)
        world.reload(proxy, f'[access_log]\nfile = "b.log"\nformat = "new {{end}}"\n{listener}')
        second = session(proxy)
        end(proxy, first)
        end(proxy, second)
        assert {Path(str(each)).name for each in world.targets.opened} == {"b.log"}
        third = session(proxy)
        world.reload(proxy, listener)
        end(proxy, third)
    assert world.targets.lines == {"b.log": ["a 1 --", "new --"]}


def test_a_target_that_cannot_be_opened_changes_nothing(world: World) -> None:
    listener = ECHO.format(name="a", port=1, own="")
    world.targets.refused = "b.log"
    with world.start(f'[access_log]\nfile = "a.log"\n{FORM}{listener}') as proxy:
        client = session(proxy)
        with pytest.raises(OSError, match=r"cannot open the access log .*b\.log: permission deni"):
            world.reload(proxy, f'[access_log]\nfile = "b.log"\n{listener}')
        end(proxy, client)
    assert world.targets.lines == {"a.log": ["a 1 --"]}
