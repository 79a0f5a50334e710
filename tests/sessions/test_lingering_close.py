"""LingeringClose: the last answer arrives even if the client is still sending."""

from __future__ import annotations

from vcproxy.api import Message, Session, State
from vcproxy.sessions.lingering_close import LingeringClose
from vcproxy.testing import SimulatedProxy, check_machine


class OneAnswer(Session):
    """Answers the first line, and ends."""

    READING = State(initial=True)
    DONE = State(final=True)

    @READING.on(Message, to=DONE)
    def received(self, message: Message) -> None:
        self.answer(b"refused\n")


def test_the_events_that_cannot_reach_it() -> None:
    # a VC is shut down for writing in DRAINING, and does not read in SENDING
    assert check_machine(LingeringClose) == {
        "DRAINING WRITE_COMPLETE",
        "DRAINING WRITE_READY",
        "SENDING READ_READY",
    }


def test_a_client_that_is_still_sending_gets_the_answer_and_the_end() -> None:
    proxy = SimulatedProxy(OneAnswer)
    client = proxy.client()
    client.send(b"request\n" + b"more " * 10_000)
    proxy.elapse(1)
    assert bytes(client.received) == b"refused\n"
    assert (client.ended, client.reset_seen) == (True, False)
    client.end()
    proxy.elapse(1)
    assert not proxy.engine.vcs


def test_a_client_that_does_not_close_is_closed_after_two_seconds() -> None:
    proxy = SimulatedProxy(OneAnswer)
    client = proxy.client()
    client.send(b"request\n")
    proxy.elapse(1.5)
    assert len(proxy.engine.vcs) == 1
    proxy.elapse(1)
    assert not proxy.engine.vcs
