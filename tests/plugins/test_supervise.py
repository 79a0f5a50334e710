"""supervise: programs beside the proxy, as transcripts of what happens and what is logged."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from signal import SIGCONT, SIGKILL, SIGQUIT, SIGSEGV, SIGSTOP, SIGTERM
from types import TracebackType
from typing import Any

import pytest

from vcproxy.config.errors import OptionsError
from vcproxy.config.options import read_options
from vcproxy.drivers.sim.process import SimProcess
from vcproxy.engine.sources.signals import Signal
from vcproxy.plugins.supervise import Supervise
from vcproxy.testing.proxy import SimulatedProxy


class World:
    """A proxy whose children do nothing until a test ends them; SIGTERM ends them too.

    Children are names, or tables with a name. The program of child `a` is /bin/a.
    """

    def __init__(self, *children: str | dict[str, Any], **table: Any) -> None:
        tables = [{"name": each} if isinstance(each, str) else each for each in children]
        table["children"] = [{"command": f"/bin/{each['name']}"} | each for each in tables]
        options, _ = read_options(Supervise, table, Path())
        self.proxy = SimulatedProxy(Supervise, (), options=options)
        self.processes: dict[str, SimProcess] = {}
        """The last process of each program."""
        self.happened: list[str] = []
        for each in tables:
            self.proxy.sim.programs[f"/bin/{each['name']}"] = partial(self._runs, each["name"])

    def _runs(self, name: str, process: SimProcess) -> None:
        self.processes[name] = process
        self.happened.append(f"{name} runs")
        process.on_signal = partial(self._signalled, name, process)

    def _signalled(self, name: str, process: SimProcess, number: int) -> None:
        self.happened.append(f"{name} ends")
        process.kill(number)

    def __enter__(self) -> World:
        self.wait()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.proxy.__exit__(kind, error, traceback)

    def wait(self, seconds: float = 0.01) -> None:
        self.proxy.elapse(seconds)

    def end(self, name: str, status: int = 1) -> None:
        """A program exits; wait for what follows."""
        self.processes[name].exit(status)
        self.wait()

    def kill(self, name: str, number: int) -> None:
        """Somebody sends a program a signal; wait for what follows."""
        self.processes[name].signal(number)
        self.wait()

    def deaf(self, name: str) -> None:
        """Let a program ignore SIGTERM."""
        self.processes[name].on_signal = lambda number: None

    def signal(self) -> None:
        """The proxy gets SIGTERM."""
        self.proxy.programs.deliver(Signal(SIGTERM))
        self.wait()

    def take(self) -> list[str]:
        """Return what has happened since the last call."""
        happened, self.happened[:] = list(self.happened), []
        return happened

    def log(self) -> list[str]:
        """Return the lines of the log since the last call, without the name of the listener."""
        lines = [line.replace(" proxy: ", " ") for line in self.proxy.log]
        self.proxy.sim.log.clear()
        return lines

    @property
    def running(self) -> list[str]:
        return [name for name, process in self.processes.items() if not process.ended]


def test_programs_start_in_order_and_end_with_the_proxy_in_reverse() -> None:
    with World("a", "b", "c") as world:
        assert world.take() == ["a runs", "b runs", "c runs"]
        assert world.log() == [f"info: child {name} runs as process {pid}" for name, pid in [
            ("a", 1000), ("b", 1001), ("c", 1002),
        ]]  # fmt: skip
        world.signal()
        assert world.take() == ["c ends", "b ends", "a ends"]
        assert world.log() == []
        assert world.running == []
        assert not world.proxy.engine.sources


def test_a_program_that_ends_is_started_again() -> None:
    with World("a", "b") as world:
        world.take()
        world.kill("a", SIGKILL)
        assert world.take() == ["a runs"]
        assert world.log()[2:] == [
            "error: child a was killed by SIGKILL; it is started again",
            "info: child a runs as process 1002",
        ]


@pytest.mark.parametrize(
    ("restart", "again"),
    [
        ("permanent", [True, True, True, True]),
        ("transient", [True, True, False, False]),
        ("temporary", [False, False, False, False]),
        ("raise", [False, False, False, False]),
    ],
)
def test_restart_decides_by_the_end(restart: str, again: list[bool]) -> None:
    ends: list[Callable[[SimProcess], None]] = [
        lambda process: process.exit(1),
        lambda process: process.kill(SIGSEGV),
        lambda process: process.exit(0),
        lambda process: process.kill(SIGTERM),
    ]
    found = []
    for end in ends:
        with World({"name": "a", "restart": restart}, "b") as world:
            world.take()
            end(world.processes["a"])
            world.wait()
            found.append("a runs" in world.take())
    assert found == again


@pytest.mark.parametrize(
    ("strategy", "follows"),
    [
        ("one_for_one", ["b runs"]),
        ("rest_for_one", ["c ends", "b runs", "c runs"]),
        ("one_for_all", ["c ends", "a ends", "a runs", "b runs", "c runs"]),
    ],
)
def test_the_strategy_decides_about_the_others(strategy: str, follows: list[str]) -> None:
    with World("a", "b", "c", strategy=strategy) as world:
        world.take()
        world.end("b")
        assert world.take() == follows


def test_a_program_that_ignores_sigterm_is_killed() -> None:
    with World("a", {"name": "b", "shutdown": "2s"}) as world:
        world.take()
        world.deaf("b")
        world.signal()
        world.wait(1.9)
        assert world.running == ["a", "b"]
        world.wait(0.2)
        assert world.running == []
        assert world.log()[2:] == ["warning: child b has not ended within 2s: it is killed"]


def test_a_program_may_want_another_signal() -> None:
    got: list[int] = []
    with World({"name": "a", "stop_signal": "QUIT", "restart": "transient"}) as world:
        world.processes["a"].on_signal = got.append
        world.signal()
        assert got == [SIGQUIT]
        world.kill("a", SIGKILL)
    with World({"name": "a", "stop_signal": "QUIT", "restart": "transient"}) as world:
        world.kill("a", SIGQUIT)
        assert world.running == [], "an end by this signal is orderly"


def test_a_second_signal_kills_at_once() -> None:
    with World("a", "b") as world:
        world.deaf("b")
        world.signal()
        world.signal()
        assert world.running == []


def test_when_restarts_do_not_help_the_proxy_goes_on_without_the_programs() -> None:
    with World("a", "b", intensity=1) as world:
        world.log()
        world.end("b", 2)
        world.take()
        world.end("b", 2)
        assert world.take() == ["a ends"]
        assert world.log() == [
            "error: child b exited with status 2; it is started again",
            "info: child b runs as process 1002",
            "error: child b exited with status 2, after more than 1 restart in 10s; all are "
            "stopped",
            "error: all children have ended; the proxy goes on without them",
        ]
        world.wait(100)
        assert world.running == []
        assert not world.proxy.stopped


def test_or_the_proxy_stops() -> None:
    with World({"name": "a", "restart": "raise"}, "b", on_failure="stop") as world:
        world.log()
        world.end("a")
        assert world.log() == [
            "error: child a exited with status 1; all are stopped",
            "error: all children have ended; the proxy stops",
        ]
        assert world.proxy.stopped
        assert world.proxy.driver.stop_status == 3
        assert world.running == []


def test_a_program_that_is_absent_is_tried_again_until_that_is_too_often() -> None:
    with World("a", "b", intensity=2) as world:
        del world.proxy.sim.programs["/bin/a"]
        world.log()
        world.end("a")
        world.wait(10)
        why = "cannot be started: /bin/a: no such file or directory"
        assert [line.partition(" in ")[0] for line in world.log()] == [
            "error: child a exited with status 1; it is started again",
            f"error: child a {why}; it is started again",
            f"error: child a {why}, after more than 2 restarts",
            "error: all children have ended; the proxy goes on without them",
        ]


def test_a_program_that_is_stopped_and_continued_is_left_alone() -> None:
    with World("a") as world:
        world.log()
        world.kill("a", SIGSTOP)
        world.kill("a", SIGCONT)
        assert world.log()[:2] == [
            "warning: child a was stopped by SIGSTOP",
            "info: child a was continued by SIGCONT",
        ]


def test_a_listener_that_is_removed_ends_its_programs_in_order() -> None:
    with World("a", "b") as world:
        world.take()
        world.proxy.programs.stop_others(())
        world.wait()
        assert world.take() == ["b ends", "a ends"]


def test_the_status_names_each_program() -> None:
    with World("a", {"name": "b", "restart": "temporary"}) as world:
        world.end("a")
        world.end("b")
        assert world.proxy.program.status() == {
            "a": {"state": "running", "pid": 1002, "starts": 2},
            "b": {"state": "down", "pid": None, "starts": 1},
        }


def test_a_mistake_in_the_plugin_leaves_no_program() -> None:
    class Mistaken(Supervise):
        def start_child(self, name: str) -> None:
            raise ZeroDivisionError

    with World("a", "b") as world:
        program = world.proxy.program
        assert isinstance(program, Supervise)
        program.__class__ = Mistaken
        world.processes["a"].exit(1)
        with pytest.raises(ZeroDivisionError):
            world.wait()
        world.wait()
        assert world.running == []


@pytest.mark.parametrize(
    ("table", "problem"),
    [
        ({}, "children: is missing"),
        ({"children": []}, "children: must name at least one program"),
        ({"intensity": -1}, "intensity"),
        ({"period": "0s"}, "period"),
        ({"children": [{"name": "a", "command": "/a"}] * 2}, 'two children are named "a"'),
        ({"children": [{"name": "", "command": "/a"}]}, "children.0.name"),
        ({"children": [{"name": "a", "command": "/a", "restart": "always"}]}, "'permanent'"),
        ({"strategy": "all"}, "'one_for_one', 'one_for_all' or 'rest_for_one'"),
    ],
)
def test_options_that_cannot_be_followed_are_refused(table: dict[str, Any], problem: str) -> None:
    one = {"children": [{"name": "a", "command": "/a"}]} if table else {}
    with pytest.raises(OptionsError) as caught:
        read_options(Supervise, one | table, Path())
    (found,) = caught.value.problems
    assert problem in f"{'.'.join(map(str, found.path))}: {found.message}"
