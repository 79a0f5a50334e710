"""Children: who is watched, and who is overdue."""

from __future__ import annotations

from vcproxy.bus.mailbox.peer import Peer
from vcproxy.supervise.children import MAX_CHILDREN, SILENCE_S, Child, Children

ALICE: Peer = ("127.0.0.1", 5001)
BOB: Peer = ("127.0.0.1", 5002)


def names(children: Children) -> list[str]:
    return [child.name for child in children]


def test_whoever_starts_is_a_child_until_it_ends() -> None:
    children = Children()
    assert children.deadline is None
    assert children.started(ALICE, "family/Child#Alice", 0.0) == Child(ALICE, "family/Child#Alice")
    children.started(BOB, "family/Child#Bob", 1.0)
    assert names(children) == ["family/Child#Alice", "family/Child#Bob"]
    assert children.ended(ALICE) == Child(ALICE, "family/Child#Alice")
    assert children.ended(ALICE) is None
    assert names(children) == ["family/Child#Bob"]
    assert children.get(ALICE) is None


def test_a_child_is_overdue_when_it_was_silent_for_a_minute() -> None:
    children = Children()
    children.started(ALICE, "Alice", 0.0)
    children.started(BOB, "Bob", 1.0)
    assert children.deadline == SILENCE_S
    assert children.overdue(SILENCE_S - 0.001) == []
    assert [child.name for child in children.overdue(SILENCE_S)] == ["Alice"]
    assert [child.name for child in children.overdue(SILENCE_S + 1.0)] == ["Alice", "Bob"]


def test_each_pulse_begins_the_minute_again() -> None:
    children = Children()
    children.started(ALICE, "Alice", 0.0)
    children.started(BOB, "Bob", 1.0)
    assert children.pulsed(ALICE, 10.0)
    assert children.deadline == 1.0 + SILENCE_S
    assert [child.name for child in children.overdue(SILENCE_S + 9.0)] == ["Bob"]


def test_the_pulse_of_a_stranger_makes_it_no_child() -> None:
    children = Children()
    assert not children.pulsed(ALICE, 0.0)
    assert names(children) == []
    assert children.deadline is None


def test_a_child_that_starts_again_at_its_address_replaces_the_one_before() -> None:
    children = Children()
    children.started(ALICE, "family/Child", 0.0)
    children.started(ALICE, "family/Child2", 30.0)
    assert names(children) == ["family/Child2"]
    assert children.deadline == 30.0 + SILENCE_S


def test_a_flood_of_children_is_not_kept() -> None:
    children = Children()
    for port in range(MAX_CHILDREN):
        assert children.started(("10.0.0.9", port), "x", 0.0) is not None
    assert children.started(("10.0.0.10", 1), "x", 0.0) is None
    assert len(children) == MAX_CHILDREN
    assert children.started(("10.0.0.9", 1), "y", 0.0) is not None  # in place of the one there
