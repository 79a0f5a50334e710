"""Session.within_rate: the listener's rate, for plugins that count requests of their own."""

from __future__ import annotations

from dataclasses import replace

from vcproxy.admission.admission import Admission
from vcproxy.admission.rate import Rate, RateLimits
from vcproxy.machine.state import State
from vcproxy.sessions.message_reader import Message
from vcproxy.sessions.session import Session
from vcproxy.testing.proxy import SimulatedProxy


class Counting(Session):
    """Answers each line within the rate."""

    needs_upstream = False
    counts_requests = True
    READING = State(initial=True)

    @READING.on(Message, to=())
    def read(self, message: Message) -> None:
        self.answer(b"yes\n" if self.within_rate() else b"no\n")


def test_each_client_has_a_rate() -> None:
    with SimulatedProxy(Counting, []) as proxy:
        admission = Admission()
        admission.requests = RateLimits([Rate(32, 2, 1.0, 2, "2 per 1s for each client")])
        proxy.service = replace(proxy.service, admission=admission)
        clients = [proxy.client(client_ip=f"192.0.2.{number}") for number in (1, 2)]
        for client in clients:
            client.send(b"a\nb\nc\n")
        proxy.elapse(1)
        clients[0].send(b"d\n")
        proxy.elapse(0.1)
        assert clients[0].received == b"yes\nyes\nno\nyes\n"
        assert clients[1].received == b"yes\nyes\nno\n"
        assert proxy.log == [
            "warning: proxy: 192.0.2.1 is refused: more than 2 per 1s for each client; "
            "1 refused so far"
        ]


def test_without_a_rate_all_requests_are_within_it() -> None:
    with SimulatedProxy(Counting, []) as proxy:
        client = proxy.client()
        client.send(b"a\nb\n")
        proxy.elapse(1)
        assert client.received == b"yes\nyes\n"
