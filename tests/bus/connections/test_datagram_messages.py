"""DatagramMessages: the same on real sockets and in a simulation."""

from __future__ import annotations

import socket
from collections.abc import Callable, Hashable, Iterator
from pathlib import Path

import pytest

from tests.conformance.source_world import SourceWorld, world_of
from vcproxy.bus.connections.datagram_messages import DatagramMessages, Destination
from vcproxy.bus.dispatch.dispatcher import Dispatcher
from vcproxy.bus.dispatch.received_message import ReceivedMessage
from vcproxy.bus.message.bus_message import BusMessage
from vcproxy.engine.address import Address
from vcproxy.engine.continuation import Continuation
from vcproxy.engine.mutex import Mutex
from vcproxy.engine.sources.datagrams import BindFailed, Bound, HostPort
from vcproxy.engine.sources.unix_datagrams import UnixBound

LOCAL = "udp://127.0.0.1:0"
GROUP = ("239.255.15.1", 0)


@pytest.fixture(params=["epoll", "sim"])
def world(request: pytest.FixtureRequest) -> Iterator[SourceWorld]:
    with world_of(request.param) as made:
        yield made


class Box(Continuation):
    """Keeps what it receives; answers COUNT."""

    def __init__(
        self,
        world: SourceWorld,
        address: str,
        *,
        dispatcher: Dispatcher | None = None,
        secret_code: str = "",
        groups: tuple[HostPort, ...] = (),
        broadcast: bool = False,
        admits: Callable[[Destination], bool] | None = None,
    ) -> None:
        super().__init__(world.engine, Mutex())
        self.world = world
        self.received: list[ReceivedMessage] = []
        self.bound: Bound | UnixBound | BindFailed | None = None
        with self.mutex.hold(world.engine):
            self.bus = DatagramMessages(
                self,
                Address.parse(address),
                dispatcher=dispatcher,
                secret_code=secret_code,
                groups=groups,
                broadcast=broadcast,
                admits=admits,
                name="box",
            )
        world.run(lambda: self.bound)

    @property
    def place(self) -> Destination:
        """Where it is bound."""
        if isinstance(self.bound, Bound):
            return self.bound.address
        assert isinstance(self.bound, UnixBound), self.bound
        return self.bound.path

    @property
    def texts(self) -> list[str]:
        """The messages."""
        return [received.message.to_text() for received in self.received]

    def handle_event(self, key: Hashable, data: object) -> None:
        if isinstance(data, ReceivedMessage):
            assert key is ReceivedMessage
            self.received.append(data)
            if data.command == "COUNT":
                data.reply("COUNTED", number=len(self.received))
            elif data.command == "FAIL":
                raise ValueError("as asked")
            elif data.command == "LONG":
                data.reply("LENGTHY", value="x" * int(data.message.text("size")))
        else:
            assert isinstance(data, Bound | UnixBound | BindFailed)
            self.bound = data

    def send(self, text: str, to: Box | Destination) -> None:
        """Send a message."""
        with self.mutex.hold(self.engine):
            self.bus.send(BusMessage.parse(text), to.place if isinstance(to, Box) else to)

    def close(self) -> None:
        """Close it, twice."""
        with self.mutex.hold(self.engine):
            self.bus.close()
            self.bus.close()


def dropped(world: SourceWorld, reason: str) -> None:
    """Wait until the log has the reason for which a datagram was dropped."""
    world.run(lambda: any(line.endswith(reason) for line in world.log))


@pytest.fixture(params=["udp", "unixgram"])
def pair(request: pytest.FixtureRequest, world: SourceWorld, tmp_path: Path) -> tuple[Box, Box]:
    if request.param == "udp":
        return Box(world, LOCAL), Box(world, LOCAL)
    return Box(world, f"unixgram:{tmp_path}/one"), Box(world, f"unixgram:{tmp_path}/two")


def test_a_message_is_answered(pair: tuple[Box, Box]) -> None:
    one, two = pair
    one.send("<here:me COUNT", two)
    one.world.run(lambda: one.received)
    assert two.texts == ["<here:me COUNT"]
    assert one.texts == ["here:me/COUNTED number=1"]
    assert one.received[0].origin is one.bus
    two.close()
    one.send("COUNT", two)
    one.close()
    one.send("COUNT", one)


@pytest.mark.parametrize(("kind", "limit"), [("udp", 1024), ("unixgram", 65536)])
def test_the_largest_message_is_sent_and_one_more_byte_refused(
    kind: str, limit: int, world: SourceWorld, tmp_path: Path
) -> None:
    box = Box(world, LOCAL if kind == "udp" else f"unixgram:{tmp_path}/one")
    fits = "FITS v=" + "x" * (limit - 7)
    box.send(fits, box)
    world.run(lambda: box.received)
    assert box.texts == [fits]
    if kind == "udp":
        with pytest.raises(ValueError, match="FITS has 1025 bytes; a datagram takes 1024: send"):
            box.send(fits + "x", box)


def test_a_datagram_over_1024_bytes_is_dropped(world: SourceWorld) -> None:
    one, two = Box(world, LOCAL), Box(world, LOCAL)
    with one.mutex.hold(world.engine):
        one.bus._socket.send(b"LONG v=" + b"x" * 1018, two.place)  # type: ignore[arg-type]
    dropped(world, "it has more than 1024 bytes")
    assert not two.received


def test_a_reply_that_is_too_long_is_dropped(world: SourceWorld) -> None:
    one, two = Box(world, LOCAL), Box(world, LOCAL)
    one.send("LONG size=1010", two)
    world.run(lambda: one.received)
    one.send("LONG size=1011", two)
    dropped(world, "a reply has more than 1024 bytes")
    one.send("COUNT", two)
    world.run(lambda: one.texts[-1] == "COUNTED number=3")


def test_what_is_not_a_message_is_dropped(pair: tuple[Box, Box]) -> None:
    one, two = pair
    with one.mutex.hold(one.engine):
        one.bus._socket.send(b"=", two.place)  # type: ignore[arg-type]
    dropped(one.world, "it is not a message")
    assert not two.received


def test_messages_need_the_secret_code(world: SourceWorld) -> None:
    service = Box(world, LOCAL, secret_code="s3;cret")
    friend, wrong, missing = (
        Box(world, LOCAL, secret_code=code) for code in ("s3;cret", "other", "")
    )
    wrong.send("STOP", service)
    missing.send("STOP", service)
    dropped(world, "its secret code is wrong")
    dropped(world, "its secret code is missing")
    friend.send("COUNT", service)
    world.run(lambda: friend.received)
    assert service.texts == ["COUNT"]  # the code is not passed on
    assert friend.texts == ["COUNTED number=1"]
    # the code of the original, written by hand
    missing.send('COUNT secret_code="s3;cret"', service)
    world.run(lambda: len(service.received) == 2)


def test_a_code_that_is_not_expected_is_accepted_with_a_warning(world: SourceWorld) -> None:
    service, sender = Box(world, LOCAL), Box(world, LOCAL, secret_code="code")
    for _ in range(3):
        sender.send("HELLO", service)
    world.run(lambda: len(service.received) == 3)
    assert service.texts == ["HELLO"] * 3
    (warning,) = world.log
    assert "box: HELLO came with a secret code, and none is set here" in warning


def test_senders_may_be_limited(world: SourceWorld) -> None:
    asked: list[Destination] = []

    def admits(source: Destination) -> bool:
        asked.append(source)
        return len(asked) > 1

    service, sender = Box(world, LOCAL, admits=admits), Box(world, LOCAL)
    sender.send("FIRST", service)
    dropped(world, "its sender is not in an allowed network")
    sender.send("SECOND", service)
    world.run(lambda: service.received)
    assert service.texts == ["SECOND"]
    assert asked == [sender.place, sender.place]


def test_a_dispatcher_calls_the_function_for_a_message(world: SourceWorld) -> None:
    dispatcher = Dispatcher("snap", log=world.engine.log)
    dispatcher.add("HELLO", lambda received: received.reply("WELCOME"))
    service, sender = Box(world, LOCAL, dispatcher=dispatcher), Box(world, LOCAL)
    sender.send("HELLO", service)
    world.run(lambda: sender.received)
    assert sender.texts == ["WELCOME"]
    assert not service.received


def test_a_multicast_group_reaches_its_members(world: SourceWorld) -> None:
    probe = Box(world, LOCAL)
    assert isinstance(probe.place, tuple)
    group = GROUP[0], probe.place[1]  # a port that is free for this test
    probe.close()
    members = [Box(world, LOCAL, groups=(group,)) for _ in range(2)]
    outsider = Box(world, LOCAL)
    outsider.send("NEWS number=1", group)
    world.run(lambda: all(member.received for member in members))
    assert [member.texts for member in members] == [["NEWS number=1"]] * 2
    assert not outsider.received


def test_a_broadcast_reaches_all_at_its_port(world: SourceWorld) -> None:
    place = "255.255.255.255" if world.kind == "sim" else "127.255.255.255"
    receiver = Box(world, "udp://0.0.0.0:0")
    sender = Box(world, LOCAL if world.kind == "epoll" else "udp://10.0.0.1:0", broadcast=True)
    silent = Box(world, LOCAL)
    assert isinstance(receiver.place, tuple)
    to = place, receiver.place[1]
    silent.send("NEWS", to)
    world.run(lambda: any("permission denied" in line for line in world.log))
    sender.send("NEWS number=1", to)
    world.run(lambda: receiver.received)
    assert receiver.texts == ["NEWS number=1"]
    receiver.received[0].reply("THANKS")
    world.run(lambda: sender.received)
    assert sender.texts == ["THANKS"]


def test_an_exception_of_the_owner_closes_the_socket(world: SourceWorld) -> None:
    service, sender = Box(world, LOCAL), Box(world, LOCAL)
    sender.send("FAIL", service)
    world.run(lambda: world.log)
    (line,) = world.log
    assert line.startswith("error: DatagramMessages <DatagramMessages box> failed; its conv")
    assert line.endswith("(as asked)")
    assert len(world.engine.sources) == 1


def test_an_address_in_use(world: SourceWorld) -> None:
    box = Box(world, LOCAL)
    assert isinstance(box.place, tuple)
    second = Box(world, f"udp://127.0.0.1:{box.place[1]}")
    assert isinstance(second.bound, BindFailed)
    assert second.bound.in_use


def test_other_addresses_are_refused(world: SourceWorld) -> None:
    with pytest.raises(ValueError, match="messages come as datagrams at udp:// or unixgram:"):
        Box(world, "tcp://127.0.0.1:1")


@pytest.mark.parametrize("world", ["epoll"], indirect=True)  # all simulated sockets are bound
def test_a_sender_without_an_address_gets_no_reply(world: SourceWorld, tmp_path: Path) -> None:
    service = Box(world, f"unixgram:{tmp_path}/service")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.sendto(b"COUNT", f"{tmp_path}/service")
    dropped(world, "a reply has no address: the socket of the sender is not bound")
    assert service.texts == ["COUNT"]
