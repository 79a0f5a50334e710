"""A supervisor on an engine: its timer, and the order of what it asks for."""

from __future__ import annotations

from tests.engine.world import World
from vcproxy.engine.mutex import Mutex
from vcproxy.supervise.child_spec import ChildSpec
from vcproxy.supervise.intensity import Intensity
from vcproxy.supervise.strategy import Strategy
from vcproxy.supervise.supervision import Supervision
from vcproxy.supervise.supervisor import Life, Supervisor


class Owner:
    """Children that note what is asked for. Those that are started have started at once."""

    def __init__(self, world: World, *names: str, restarts: int = 5) -> None:
        self.mutex = Mutex()
        self.asked = world.log
        """What is asked for, and the lines of the log."""
        self.refused: set[str] = set()
        """Those whose start fails at once."""
        specs = [ChildSpec(name, shutdown_s=2.0) for name in names]
        intensity = Intensity(restarts, 10.0)
        supervisor = Supervisor(specs, Strategy.ONE_FOR_ONE, intensity, world.engine.random)
        self.supervision = Supervision(world.engine, self.mutex, supervisor, self, "me")

    def start_child(self, name: str) -> None:
        self.asked.append(f"start {name}")
        if name in self.refused:
            self.supervision.ended(name, False, "cannot be started")
        else:
            self.supervision.started(name)

    def stop_child(self, name: str) -> None:
        self.asked.append(f"stop {name}")

    def kill_child(self, name: str) -> None:
        self.asked.append(f"kill {name}")

    def supervision_ended(self, failure: str) -> None:
        self.asked.append(f"ended {failure}".rstrip())

    def take(self) -> list[str]:
        """Return what has been asked for since the last call."""
        asked = list(self.asked)
        self.asked.clear()
        return asked


def test_children_are_started_in_order_and_stopped_in_reverse() -> None:
    owner = Owner(World(), "a", "b")
    owner.supervision.start()
    assert owner.take() == ["start a", "start b"]
    owner.supervision.stop()
    assert owner.take() == ["stop b"]
    owner.supervision.ended("b", True, "exited with status 0")
    owner.supervision.ended("a", True, "exited with status 0")
    assert owner.take() == ["stop a", "ended"]


def test_what_follows_from_an_action_comes_after_the_other_actions() -> None:
    owner = Owner(World(), "a", restarts=1)
    owner.refused.add("a")
    owner.supervision.start()
    assert owner.take() == [
        "start a",
        "error: me: child a cannot be started; it is started again",
        "start a",
        "error: me: child a cannot be started, after more than 1 restart in 10s; all are stopped",
        "ended child a cannot be started, after more than 1 restart in 10s",
    ]


def test_a_delayed_restart_comes_when_its_time_has_come() -> None:
    world = World()
    owner = Owner(world, "a")
    owner.supervision.start()
    for _ in range(2):
        owner.supervision.ended("a", False, "crashed")
    world.settle()
    owner.take()
    due = world.engine.next_deadline()
    assert due is not None
    assert 0.05 <= due <= 0.1, "half of the first delay is random"
    world.settle(due / 2)
    assert owner.take() == []
    assert owner.supervision.life("a") is Life.DOWN
    world.settle(due / 2)
    assert owner.take() == ["start a"]
    assert world.engine.next_deadline() is None, "no timer is left"


def test_a_child_that_ignores_its_stop_is_killed_in_time() -> None:
    world = World()
    owner = Owner(world, "a")
    owner.supervision.start()
    world.settle(5.0)
    owner.supervision.stop()
    assert owner.supervision.stopping
    world.settle()
    assert world.engine.next_deadline() == 7.0
    owner.take()
    world.settle(2.0)
    assert owner.take() == [
        "warning: me: child a has not ended within 2s: it is killed",
        "kill a",
    ]
    owner.supervision.ended("a", False, "was killed by SIGKILL")
    world.settle()
    assert owner.take() == ["ended"]
    assert world.engine.next_deadline() is None


def test_a_hung_child_and_a_second_stop_that_kills() -> None:
    owner = Owner(World(), "a", "b")
    owner.supervision.start()
    owner.take()
    owner.supervision.hung("a", "hangs")
    assert owner.take() == ["error: me: child a hangs: it is killed", "kill a"]
    owner.supervision.stop()
    owner.supervision.kill()
    assert owner.take() == ["stop b", "kill b"]
