"""OpenFiles: which files are open, how often they are opened, and when they are closed."""

from __future__ import annotations

from collections.abc import Hashable

import pytest

from tests.engine.world import engine
from vcproxy.drivers.sim import Simulation
from vcproxy.engine.continuation import Continuation
from vcproxy.engine.mutex import Mutex
from vcproxy.engine.sources.stored_file import StoredFile
from vcproxy.http.files.file_tags import FILE_READY
from vcproxy.http.files.open_files import FRESH_S, MOST_OPEN, OpenFile, OpenFiles


class User(Continuation):
    """Uses one file."""

    def __init__(self, world: World, *paths: str) -> None:
        super().__init__(world.engine, Mutex())
        self.events: list[tuple[Hashable, object]] = []
        self.file: OpenFile = world.files.use(self, paths)

    def handle_event(self, key: Hashable, data: object) -> None:
        self.events.append((key, data))

    @property
    def ready(self) -> bool:
        return self.file.facts is not None


class World:
    def __init__(self) -> None:
        self.sim = Simulation(0)
        self.engine = self.sim.attach(engine()).engine
        self.files = OpenFiles(self.engine, "web", "/www")
        self.opened = 0
        for number in range(MOST_OPEN + 10):
            self.sim.files.write(f"/www/{number}", f"{number}")

    @property
    def open(self) -> int:
        return sum(isinstance(each, StoredFile) for each in self.engine.sources.values())

    def go(self) -> None:
        self.sim.elapse(0.001)


@pytest.fixture
def world() -> World:
    return World()


def test_equal_requests_share_one_opening(world: World) -> None:
    users = [User(world, "1") for _ in range(3)]
    world.go()
    assert all(user.events == [(FILE_READY, user.file)] for user in users)
    assert len({user.file for user in users}) == 1
    assert world.open == 1
    late = User(world, "1")
    assert late.ready, "it is open already"
    world.go()
    assert late.events == []


def test_it_is_closed_when_nobody_uses_it_and_it_is_not_fresh(world: World) -> None:
    user = User(world, "1")
    world.go()
    user.file.release(user)
    assert world.open == 1
    world.sim.elapse(2 * FRESH_S)
    assert world.open == 0
    assert world.engine.next_deadline() is None


def test_it_stays_open_as_long_as_it_is_used(world: World) -> None:
    user = User(world, "1")
    world.go()
    world.sim.elapse(5 * FRESH_S)
    assert world.open == 1
    user.file.release(user)
    world.go()
    assert world.open == 0


def test_it_is_opened_again_after_a_second(world: World) -> None:
    first = User(world, "1")
    world.go()
    world.sim.files.write("/www/1", "changed")
    world.sim.elapse(FRESH_S)
    second = User(world, "1")
    world.go()
    assert second.file is not first.file
    assert [each.file.facts and each.file.facts.size for each in (first, second)] == [1, 7]


def test_one_that_leaves_before_it_is_open_gets_no_event(world: World) -> None:
    user = User(world, "1")
    user.file.release(user)
    world.go()
    assert user.events == []
    world.sim.elapse(3)
    assert world.open == 0


def test_a_refusal_is_not_kept(world: World) -> None:
    user = User(world, "new")
    world.go()
    assert user.file.refused is not None
    user.file.release(user)
    assert world.open == 0
    world.sim.files.write("/www/new", "1")
    again = User(world, "new")
    world.go()
    assert again.ready


def test_the_oldest_are_closed_if_there_are_too_many(world: World) -> None:
    for number in range(MOST_OPEN + 10):
        user = User(world, f"{number}")
        world.go()
        user.file.release(user)
    assert world.open == MOST_OPEN
    assert not User(world, "0").ready
    assert User(world, f"{MOST_OPEN}").ready
