"""Inbox: no post is lost or missed while sleeping."""

import threading

from vcproxy.engine.inbox import Inbox


def test_calls_are_made_in_order() -> None:
    inbox, made = Inbox(), list[int]()
    for n in range(3):
        inbox.post(lambda n=n: made.append(n))  # type: ignore[misc]
    assert inbox.calls
    inbox.drain()
    assert made == [0, 1, 2]
    assert not inbox.calls


def test_a_post_made_while_draining_waits_for_the_next_turn() -> None:
    inbox, made = Inbox(), list[str]()

    def again() -> None:
        made.append("once")
        inbox.post(again)

    inbox.post(again)
    inbox.drain()
    assert made == ["once"]
    assert inbox.calls


def test_a_sleeping_engine_is_woken_and_a_busy_one_is_not() -> None:
    inbox, woken = Inbox(), list[str]()
    inbox.wake = lambda: woken.append("wake")
    inbox.post(lambda: None)
    assert woken == []
    inbox.sleeping = True
    inbox.post(lambda: None)
    assert woken == ["wake"]


def test_no_post_is_missed_while_sleeping() -> None:
    """A driver that follows the rules makes all calls, although it may sleep without limit."""
    inbox, bell = Inbox(), threading.Event()
    inbox.wake = bell.set
    made: list[int] = []
    posters, each = 4, 500

    def driver() -> None:
        while len(made) < posters * each:
            inbox.sleeping = True
            if not inbox:
                bell.wait(20)
                bell.clear()
            inbox.sleeping = False
            inbox.drain()

    def poster(first: int) -> None:
        for n in range(each):
            inbox.post(lambda n=n: made.append(first + n))  # type: ignore[misc]

    threads = [threading.Thread(target=driver)]
    threads += [threading.Thread(target=poster, args=(n * each,)) for n in range(posters)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(made) == list(range(posters * each))
    for n in range(posters):
        own = [m for m in made if n * each <= m < (n + 1) * each]
        assert own == sorted(own)
