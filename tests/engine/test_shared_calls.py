"""SharedCalls: equal calls share a run, its result, and nothing that can be changed."""

from __future__ import annotations

from functools import partial
from threading import Lock

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.engine.world import EventRecorder, World
from vcproxy.engine import kept_results
from vcproxy.engine.calls import Called
from vcproxy.engine.commands import Call, CancelCall
from vcproxy.engine.kept_results import KeptResults, size_of
from vcproxy.engine.listener import Listener


@pytest.fixture
def world() -> World:
    return World()


def calling(
    world: World, *args: object, shares: float = 10.0, deadline: float = 0.0
) -> EventRecorder:
    """A conversation that has made a call."""
    recorder = EventRecorder(world.engine)
    world.engine.call(recorder, max, *args, deadline=deadline, shares=shares)
    world.settle()
    return recorder


def test_equal_calls_share_one_run(world: World) -> None:
    one, two = calling(world, 1), calling(world, 1)
    other = calling(world, 2)
    assert world.commands == [Call(1, max, (1,)), Call(2, max, (2,))]
    world.engine.called(1, "a")
    world.settle()
    assert (one.data, two.data, other.data) == ([Called("a")], [Called("a")], [])


def test_equal_numbers_of_other_types_are_other_calls(world: World) -> None:
    calling(world, 1), calling(world, 1.0), calling(world, True)
    assert len(world.commands) == 3


def test_a_result_is_used_again_for_its_time(world: World) -> None:
    calling(world, 1, shares=10)
    world.engine.called(1, "a")
    world.settle()
    world.settle(9)
    assert calling(world, 1).data == [Called("a")]
    world.settle(2)
    assert calling(world, 1).data == []
    assert world.commands[1:] == [Call(2, max, (1,))]


def test_with_0_seconds_only_calls_under_way_are_joined(world: World) -> None:
    calling(world, 1, shares=0)
    assert calling(world, 1, shares=0).data == []
    world.engine.called(1, "a")
    world.settle()
    calling(world, 1, shares=0)
    assert world.commands == [Call(1, max, (1,)), Call(2, max, (1,))]


def test_an_error_reaches_all_and_is_not_kept(world: World) -> None:
    one, two = calling(world, 1), calling(world, 1)
    error = ValueError("no")
    world.engine.called(1, None, error)
    world.settle()
    assert one.data == two.data == [Called(None, error)]
    calling(world, 1)
    assert len(world.commands) == 2


def test_each_caller_gets_a_result_of_its_own(world: World) -> None:
    one, two = calling(world, 1), calling(world, 1)
    world.engine.called(1, {"a": [1]})
    world.settle()
    one.data[0].value["a"].append(2)  # type: ignore[attr-defined]
    later = calling(world, 1)
    assert two.data == later.data == [Called({"a": [1]})]


def test_a_result_that_cannot_be_copied_is_an_error(world: World) -> None:
    one, two = calling(world, 1), calling(world, 1)
    world.engine.called(1, [Lock()])
    world.settle()
    for each in one.data + two.data:
        assert isinstance(each, Called)
        assert str(each.error).startswith("its result cannot be shared: cannot pickle")
    calling(world, 1)
    assert len(world.commands) == 2


def test_each_caller_has_its_own_deadline(world: World) -> None:
    one = calling(world, 1, deadline=2)
    world.settle(1)
    two = calling(world, 1, deadline=5)
    world.settle(1.5)
    assert [str(each.error) for each in one.data if isinstance(each, Called)] == [
        "timed out: no answer in 2s"
    ]
    assert two.data == []
    world.engine.called(1, "a")
    world.settle()
    assert two.data == [Called("a")]
    assert len(one.data) == 1


def test_a_run_that_is_late_for_one_caller_is_joined_by_no_more(world: World) -> None:
    calling(world, 1, deadline=2), calling(world, 1, deadline=9)
    world.settle(3)
    again = calling(world, 1, deadline=2)
    assert world.commands == [Call(1, max, (1,)), Call(2, max, (1,))]
    world.engine.called(2, "second")
    world.settle()
    assert again.data == [Called("second")]
    world.settle(10)
    assert world.commands[2:] == [CancelCall(1)], "nobody waits for it any more"
    assert not world.engine.pending_calls


def test_a_caller_that_has_ended_gets_nothing(world: World) -> None:
    one, two = calling(world, 1), calling(world, 1)
    with one.mutex.hold(world.engine):
        world.engine.end_conversation(one.mutex, ConnectionError("gone"))
    world.engine.called(1, "a")
    world.settle()
    assert (one.data, two.data) == ([], [Called("a")])


def test_a_shared_call_is_in_the_lane_of_the_listener_of_the_first(world: World) -> None:
    listener = Listener("db", acceptor=lambda _: None, engine=world.engine)
    vc, _ = world.accept(listener)
    world.engine.call(EventRecorder(world.engine, vc.mutex), max, shares=1)
    world.settle()
    assert world.commands == [Call(1, max, (), "db")]


def test_what_is_equal_to_no_other_call_is_refused(world: World) -> None:
    recorder = EventRecorder(world.engine)

    def local() -> None: ...

    for mistake in (local, partial(max, 1), recorder.crashed):
        with pytest.raises(TypeError, match="is equal to no other"):
            world.engine.call(recorder, mistake, shares=1)
    with pytest.raises(TypeError, match=r"max: the arguments .*: unhashable type: 'list'"):
        world.engine.call(recorder, max, [], shares=1)


def test_what_is_kept_is_bounded() -> None:
    kept: KeptResults[int] = KeptResults()
    for number in range(kept_results.MOST + 5):
        kept.put(number, number, 1, 100.0)
    assert len(kept) == kept_results.MOST
    assert kept.get(4, 0.0) is None
    assert kept.get(5, 0.0) == 5
    kept.put("large", 1, kept_results.MOST_BYTES - 2, 100.0)
    assert len(kept) == 3
    kept.put("larger", 1, kept_results.MOST_BYTES + 1, 100.0)
    assert len(kept) == 3
    kept.put("large", 2, 1, 50.0)
    assert kept.get("large", 49.0) == 2
    assert kept.get("large", 50.0) is None
    assert len(kept) == 2


@given(
    st.lists(
        st.tuples(
            st.integers(0, 5),
            st.integers(1, kept_results.MOST_BYTES),
            st.floats(0, 10),
            st.floats(0, 5),
        )
    )
)
def test_only_what_is_in_time_is_returned(puts: list[tuple[int, int, float, float]]) -> None:
    kept: KeptResults[int] = KeptResults()
    now, latest = 0.0, dict[int, tuple[int, float]]()
    for number, (key, size, until, step) in enumerate(puts):
        now += step
        kept.put(key, number, size, until)
        latest[key] = number, until
        for each, (value, end) in latest.items():
            assert kept.get(each, now) in ((value, None) if now < end else (None,))
        if now < until:
            assert kept.get(key, now) == number


def test_the_size_of_a_value_is_more_than_its_content() -> None:
    assert size_of(["a" * 1000, {"b": b"c" * 1000}]) > 2000
    assert size_of(None) > 0
