"""The list of processes, with hand-fed datagrams: what is answered, and what is refused."""

from __future__ import annotations

from tests.engine.world import World
from vcproxy.engine.address import Address
from vcproxy.engine.commands import OpenSource, SendDatagram
from vcproxy.engine.sources.datagrams import Arrived, BindFailed, Bound
from vcproxy.workers.list_server import list_processes

OWN, CLIENT = ("127.0.0.1", 42000), ("127.0.0.1", 50000)


class Bench:
    """A ListServer, and what it sends and logs."""

    def __init__(self) -> None:
        self.world = World()
        self.processes = [("vcproxy/master", 11), ("vcproxy/worker#1", 12)]
        address = Address.parse("udp://127.0.0.1:42000")
        list_processes(self.world.engine, address, lambda: self.processes)
        self.world.settle()
        (opened,) = self.world.commands
        assert isinstance(opened, OpenSource)
        self.source = opened.source
        self.world.commands.clear()

    def happened(self, event: object) -> None:
        self.world.engine.happened(self.source, event)
        self.world.settle()

    def answers(self, number: int, text: str) -> list[bytes]:
        """A message arrives: return the texts that are sent in answer, except its ack."""
        self.happened(Arrived("", number.to_bytes(8, "little") + text.encode(), CLIENT))
        sent = [c.data for c in self.world.commands if isinstance(c, SendDatagram)]
        self.world.commands.clear()
        assert sent[0] == number.to_bytes(8, "little") + b"ack"
        for data in sent[1:]:
            self.happened(Arrived("", data[:8] + b"ack", CLIENT))
        return [data[8:] for data in sent[1:]]


def test_list_is_answered_with_the_processes_of_the_moment() -> None:
    bench = Bench()
    bench.happened(Bound("", OWN))
    assert bench.answers(0, "list") == [
        b"Port,PID,Machine\n0,11,vcproxy/master\n0,12,vcproxy/worker#1\n"
    ]
    bench.processes.pop()
    assert bench.answers(1, "list") == [b"Port,PID,Machine\n0,11,vcproxy/master\n"]
    assert bench.world.log == [
        "info: supervise.bind: processes are listed at udp://127.0.0.1:42000"
    ]


def test_everything_else_is_refused_with_a_line() -> None:
    bench = Bench()
    bench.happened(Bound("", OWN))
    bench.world.log.clear()
    messages = ["stop 12", "register vcproxy/worker#1 1", "unregister", "exit", "list all", ""]
    for number, message in enumerate(messages):
        assert bench.answers(number, message) == []
    assert bench.answers(6, "start echo/Echo :0") == [
        b"errored echo/Echo this address lists processes only"
    ]
    assert len(bench.world.log) == len(messages) + 1
    assert "only `list` is carried out here, not `stop`" in bench.world.log[0]


def test_an_address_that_is_taken_is_logged() -> None:
    bench = Bench()
    bench.happened(BindFailed("", "address already in use"))
    assert bench.world.log == [
        "error: supervise.bind: cannot listen there: address already in use; "
        "processes are not listed"
    ]
