"""LingeringClose: the last words arrive, whatever the client still says."""

from __future__ import annotations

from vcproxy.api import Message, Session, State
from vcproxy.sessions.lingering_close import LingeringClose
from vcproxy.testing import SimulatedProxy, check_machine


class Curt(Session):
    """Answers the first line, and is gone."""

    LISTENING = State(initial=True)
    GONE = State(final=True)

    @LISTENING.on(Message, to=GONE)
    def heard(self, message: Message) -> None:
        self.answer(b"no, and good-bye\n")


def test_what_cannot_reach_it() -> None:
    # its writing has been shut down, and it reads nothing while it speaks
    assert check_machine(LingeringClose) == {
        "DRAINING WRITE_COMPLETE",
        "DRAINING WRITE_READY",
        "SENDING READ_READY",
    }


def test_a_client_that_goes_on_talking_hears_the_answer_and_the_end() -> None:
    proxy = SimulatedProxy(Curt)
    client = proxy.client()
    client.send(b"may I?\n" + b"please " * 10_000)
    proxy.elapse(1)
    assert bytes(client.received) == b"no, and good-bye\n"
    assert (client.ended, client.reset_seen) == (True, False)
    client.end()
    proxy.elapse(1)
    assert not proxy.engine.vcs


def test_a_client_that_never_ends_is_waited_for_two_seconds() -> None:
    proxy = SimulatedProxy(Curt)
    client = proxy.client()
    client.send(b"may I?\n")
    proxy.elapse(1.5)
    assert len(proxy.engine.vcs) == 1
    proxy.elapse(1)
    assert not proxy.engine.vcs
