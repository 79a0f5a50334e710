"""A restart of the workers, one by one, as transcripts: an event, then what the master does."""

from __future__ import annotations

import pytest

from tests.workers.test_master import CRASHED, DRAIN_S, Script, commit, drain
from vcproxy.supervise.actions import Log
from vcproxy.workers.actions import (
    Action,
    Drop,
    Exit,
    KillLeaving,
    KillSuccessor,
    Load,
    NotRestarted,
    Offer,
    Restarted,
    Send,
    SendLeaving,
    Spawn,
    StartSuccessor,
    Succeed,
    Unlisten,
)
from vcproxy.workers.limits import EXITED_0, GRACE_S, PREPARE_S
from vcproxy.workers.messages import Message, Verb
from vcproxy.workers.phases import Phase

LEAVE = SendLeaving(Message(Verb.DRAIN, signal=15))


class Restarting(Script):
    """A master with two workers that serve, and the messages of a successor."""

    def __init__(self, alone: tuple[int, ...] = ()) -> None:
        super().__init__()
        self.serving()
        assert self.restart(alone) == [StartSuccessor(1, 1)]

    def restart(self, alone: tuple[int, ...] = ()) -> list[Action]:
        return self.master.restart(alone, self.now)

    def successor(self, verb: Verb, text: str = "") -> list[Action]:
        return self.master.successor_received(Message(verb, self.generation, text), self.now)

    def left(self, how: str = EXITED_0) -> list[Action]:
        return self.master.left(how, self.now)


def test_each_worker_drains_once_its_successor_could_serve() -> None:
    script = Restarting()
    assert script.successor(Verb.PREPARED) == [Succeed(1), LEAVE, commit(1, 1)]
    assert script(1, Verb.SERVING) == []
    assert script.left() == [StartSuccessor(2, 1)]
    assert script.successor(Verb.PREPARED) == [Succeed(2), LEAVE, commit(2, 1)]
    assert script.left() == []
    assert script.master.rolling.running
    assert script(2, Verb.SERVING) == [Restarted(2)]
    assert not script.master.rolling.running
    assert script.restart() == [StartSuccessor(1, 1)]


def test_the_successor_of_a_worker_that_is_alone_waits_for_its_end() -> None:
    script = Restarting(alone=(1,))
    assert script.successor(Verb.PREPARED) == [Succeed(1), LEAVE]
    script.now += DRAIN_S
    assert script.left() == [commit(1, 1)]
    assert script(1, Verb.SERVING) == [StartSuccessor(2, 1)]
    assert script.successor(Verb.PREPARED) == [Succeed(2), LEAVE, commit(2, 1)]


@pytest.mark.parametrize("how", ["refuses", "ends", "is late"])
def test_a_successor_that_fails_ends_the_restart_and_nothing_else(how: str) -> None:
    script = Restarting()
    match how:
        case "refuses":
            actions, reason = script.successor(Verb.REFUSED, "no memory"), "no memory"
        case "ends":
            actions = script.master.successor_ended("exited with status 1", script.now)
            reason = "its successor exited with status 1"
        case _:
            script.now += PREPARE_S
            script(1, Verb.PULSED)
            script(2, Verb.PULSED)
            actions = script.master.elapsed(script.now)
            reason = "its successor has not loaded the configuration within 30s"
    assert actions == [KillSuccessor(), NotRestarted(f"worker 1: {reason}")]
    assert script.master.phase is Phase.SERVING
    assert script.master.successor_ended(CRASHED, script.now) == []
    assert script.restart() == [StartSuccessor(1, 1)]


def test_a_worker_that_dies_while_its_successor_loads_is_started_again() -> None:
    script = Restarting()
    kill, failed, log, *rest = script.ended(1)
    assert kill == KillSuccessor()
    text = f"worker 1: it {CRASHED} while its successor loaded the configuration"
    assert failed == NotRestarted(text)
    assert isinstance(log, Log)
    assert rest == [Spawn(1, 1)]


def test_a_successor_that_dies_once_it_has_taken_the_place_is_started_again() -> None:
    script = Restarting(alone=(1,))
    script.successor(Verb.PREPARED)
    assert script.ended(1)[-1] == Spawn(1, 1)
    assert script.left() == []  # it is not prepared
    assert script(1, Verb.PREPARED) == [commit(1, 1)]
    assert script(1, Verb.SERVING) == [StartSuccessor(2, 1)]


def test_a_reload_comes_first_but_not_while_a_successor_loads() -> None:
    script = Restarting()
    assert script.master.reload(script.now) == []
    assert script.successor(Verb.PREPARED) == [Succeed(1), LEAVE, commit(1, 1)]
    assert script(1, Verb.SERVING) == [Load()]
    assert script.left() == []
    script.generation = 2
    assert script.master.loaded(script.now, DRAIN_S) == [Offer(1, 2), Offer(2, 2)]
    for worker in (1, 2):
        script(worker, Verb.PREPARED)
    script(1, Verb.SERVING)
    assert script(2, Verb.SERVING)[-1] == StartSuccessor(2, 2)


def test_a_process_that_does_not_leave_is_killed() -> None:
    script = Restarting()
    script.successor(Verb.PREPARED)
    script(1, Verb.SERVING)
    script.now += DRAIN_S + GRACE_S
    text = "worker 1 has not ended in time after it was replaced: it is killed"
    assert script.master.elapsed(script.now) == [Log("error", text), KillLeaving()]
    lost, following = script.left(CRASHED)
    assert lost == Log(
        "error",
        f"worker 1 {CRASHED} while it drained after its replacement: its connections are lost",
    )
    assert following == StartSuccessor(2, 1)


def test_a_stop_of_the_whole_proxy_counts_for_no_deadline() -> None:
    script = Restarting()
    script.now += 3 * PREPARE_S
    script(1, Verb.PULSED)
    script(2, Verb.PULSED)
    assert script.master.elapsed(script.now) == []
    script.now += 2 * PREPARE_S
    script(1, Verb.PULSED)
    script(2, Verb.PULSED)
    assert KillSuccessor() in script.master.elapsed(script.now)


# -- the end of the proxy ------------------------------------------------------------------------


def test_the_end_of_the_proxy_ends_a_restart() -> None:
    script = Restarting()
    reason = NotRestarted("worker 1: the proxy ends")
    ends = [Unlisten(), Drop(), KillSuccessor(), reason, drain(1, pid=9), drain(2, pid=9)]
    assert script.master.end(15, 9, script.now) == ends
    assert script.restart() == [NotRestarted("the proxy ends")]
    assert script.ended(1, EXITED_0) == []
    assert script.ended(2, EXITED_0) == [Exit(0)]


def test_the_proxy_waits_for_a_process_that_is_leaving() -> None:
    script = Restarting()
    script.successor(Verb.PREPARED)
    assert NotRestarted("the proxy ends") in script.master.end(15, 9, script.now)
    assert script.master.end(15, 9, script.now) == [
        Send(1, Message(Verb.STOP)),
        Send(2, Message(Verb.STOP)),
        SendLeaving(Message(Verb.STOP)),
    ]
    script.ended(1, EXITED_0)
    assert script.ended(2, EXITED_0) == []
    assert script.left() == [Exit(0)]
