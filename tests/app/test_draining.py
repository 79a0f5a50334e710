"""What a draining proxy waits for, in its log."""

from tests.engine.world import EventRecorder, World
from vcproxy.app.draining import LISTED, children, connections, log_what_is_left
from vcproxy.engine.log_function import Level
from vcproxy.engine.sources.child_process import ChildProcess, Launch


class Log:
    def __init__(self) -> None:
        self.lines: list[str] = []

    def __call__(self, level: Level, text: str, error: Exception | None = None) -> None:
        self.lines.append(f"{level}: {text}")


def world_with(count: int) -> World:
    """A world with so many child processes."""
    world = World()
    recorder = EventRecorder(world.engine)
    with recorder.mutex.hold(world.engine):
        for number in range(count):
            ChildProcess(recorder, f"child-{number}", Launch("/bin/cat", ("cat",)))
    world.now += 5.0
    world.settle()
    return world


def test_nothing_is_logged_if_nothing_is_left() -> None:
    log = Log()
    log_what_is_left([World().engine], log, 5.0)
    assert log.lines == []


def test_all_engines_are_listed_with_the_time_of_the_latest() -> None:
    idle, busy = world_with(1), World()
    busy.vc()
    busy.now = idle.now + 7.0
    busy.settle()
    log = Log()
    log_what_is_left([idle.engine, busy.engine], log, 5.0)
    assert log.lines == [
        "warning: still draining, 5s more at most; waits for ChildProcess child-0 (/bin/cat) "
        "for 12.0s; connection tcp://example:1 quiet for 12.0s"
    ]
    assert children([idle.engine, busy.engine]) == 1
    assert connections([idle.engine, busy.engine]) == 1


def test_at_most_20_are_listed() -> None:
    log = Log()
    log_what_is_left([world_with(LISTED + 3).engine], log, 5.0)
    (line,) = log.lines
    assert line.count("; child-") == 0
    assert line.count("ChildProcess") == LISTED
    assert line.endswith("ChildProcess child-19 (/bin/cat) for 5.0s; and 3 more")
