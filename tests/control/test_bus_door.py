"""The door of a proxy on a simulated network: what it lets in, and what it does with it."""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import ip_network

import pytest

from tests.control.proxy_double import ProxyDouble
from vcproxy.bus.dispatch.routes import KEPT, Routes
from vcproxy.bus.message import definitions
from vcproxy.bus.message.bus_message import BusMessage
from vcproxy.control.bus_door import (
    IDLE_S,
    MAX_CONNECTIONS,
    MOST_LATE,
    BusDoor,
    DoorSettings,
)
from vcproxy.drivers.sim import Peer, Simulation
from vcproxy.engine.address import Address
from vcproxy.testing.bus_peer import BusPeer

UNIX = Address.parse("unix:/run/vcproxy/7.sock")
TCP = Address.parse("tcp://10.0.0.1:4042")
UDP = Address.parse("udp://10.0.0.1:4041")
CLUCKD = Address.parse("tcp://cluckd:3001")


class House:
    """A proxy with a door at three addresses, and its clients."""

    def __init__(
        self,
        *,
        workers: bool = False,
        plugins: tuple[str, ...] = (),
        allow: str = "0.0.0.0/0",
        services: Mapping[str, Address] | None = None,
        trace: bool = False,
    ) -> None:
        self.sim = Simulation(seed=7)
        self.proxy = ProxyDouble(workers=workers, plugins=plugins)
        driver = self.sim.driver("control")
        self.engine = driver.engine
        self.definitions = definitions.load()
        allowed = (ip_network(allow),)
        settings = DoorSettings("vcproxy", "snap", self.definitions, allowed, services, trace=trace)
        self.door = BusDoor(driver.engine, self.proxy, settings)
        for address in (UNIX, TCP):
            driver.listen(address, self.door.listener(address))
        self.door.datagrams(UDP)
        self.sim.run()

    def client(self, address: Address = UNIX) -> BusPeer:
        """Return a client of the door."""
        return BusPeer.simulated(self.sim.client(address), self.sim)

    def ask(self, text: str, address: Address = UNIX) -> str:
        """Send one message; return the first reply."""
        if address is UDP:
            datagrams = self.sim.datagram_client(UDP)
            datagrams.send(text.encode())
            self.sim.run()
            return datagrams.received[0].decode()
        client = self.client(address)
        client.send(text)
        self.sim.run()
        assert client.messages, self.sim.log
        return client.messages[0].to_text()


def test_the_commands_of_the_bus_are_answered() -> None:
    house = House()
    assert house.ask("ALIVE serial=5;timestamp=3.5").startswith("ABSOLUTELY reply_timestamp=")
    assert "serial=5;timestamp=3.5" in house.ask("ALIVE serial=5;timestamp=3.5")
    assert house.ask("HELP") == (
        "COMMANDS list=ALIVE,DRAIN,HELP,KILL,LOG_LEVEL,LOG_ROTATE,QUITTING,RELOAD,RESTART,"
        "SERVER,SHOW,SOURCES,STATUS,STOP"
    )
    assert house.ask("STOP") == "STOPPING"
    assert house.proxy.told == ["stop"]


def test_what_changes_something_is_logged_with_its_origin() -> None:
    house = House()
    house.ask("STATUS")
    house.ask(r"SERVER name=a\nb;state=" + "x" * 101)
    house.ask("STOP")
    killed, stopped = [text for _, _, text in house.sim.log if text.startswith("control: ")]
    assert killed.startswith(
        "control: SERVER name=a\\nb state=" + "x" * 100 + "... from control at "
    )
    assert stopped.startswith("control: STOP from control at unix:/run/vcproxy/7.sock")


def test_a_reply_goes_to_the_sender_of_the_message() -> None:
    assert House().ask("<snap:ed_signal vcproxy/STOP") == "snap:ed_signal/STOPPING"


@pytest.mark.parametrize(
    "text", ["STOP", "vcproxy/STOP", "snap:vcproxy/STOP", "./STOP", "*/STOP", "?/STOP", ".:*/STOP"]
)
def test_messages_for_this_proxy(text: str) -> None:
    house = House()
    assert house.ask(text) == "STOPPING"


@pytest.mark.parametrize(
    ("text", "place"),
    [("other:vcproxy/STOP", "other:vcproxy"), ("cluckd/STOP", "cluckd"), ("a:b/STOP", "a:b")],
)
def test_messages_for_others_are_refused(text: str, place: str) -> None:
    house = House()
    message = f"it is for {place}; this is snap:vcproxy"
    assert house.ask(text).startswith(f'INVALID command=STOP;message="{message}')
    assert house.proxy.told == []


def test_a_service_that_is_not_known_is_refused_with_those_that_are() -> None:
    house = House(services={"snapd": CLUCKD, "cluckd": CLUCKD})
    assert house.ask("cluckt/LOCK").endswith('; services known here: cluckd, snapd"')
    assert House().ask("cluckt/LOCK").endswith('; services known here: none"')


def test_what_is_unknown_is_answered_once() -> None:
    house = House()
    assert house.ask("NONSENSE") == "UNKNOWN command=NONSENSE"
    client = house.client()
    for reply in ("UNKNOWN command=ALIVE", "INVALID", "ABSOLUTELY reply_timestamp=1", "READY"):
        client.send(reply)
    house.sim.run()
    assert client.messages == []


def test_each_message_is_logged_with_trace() -> None:
    house = House(trace=True)
    house.ask("<far:away ALIVE serial=5")
    house.ask("STATUS secret_code=sesame")
    assert [text for _, _, text in house.sim.log] == [
        'dispatch message "<far:away ALIVE serial=5".',
        'dispatch message "STATUS secret_code=...".',
    ]


def test_parameters_are_checked_against_their_definition() -> None:
    house = House(plugins=("OPEN",))
    house.definitions.add(definitions.parse("OPEN", "[door]\ntype = integer\n"))
    reply = house.ask("OPEN door=front")
    assert reply.startswith('INVALID command=OPEN;message=door="front": ')
    assert house.ask("OPEN") == 'INVALID command=OPEN;message=the parameter "door" is missing'
    assert house.proxy.delivered == []


# -- access --------------------------------------------------------------------------------------


@pytest.mark.parametrize("address", [TCP, UDP])
@pytest.mark.parametrize("command", ["STOP", "QUITTING", "RELOAD", "RESTART", "LOG_ROTATE"])
def test_in_clear_nothing_is_changed(address: Address, command: str) -> None:
    house = House(workers=True)
    message = "it is carried out at a Unix socket, or with a client certificate, only"
    assert house.ask(f"{command} secret_code=abc", address) == (
        f"INVALID command={command};message={message}"
    )
    assert house.proxy.told == []
    assert house.proxy.results == []


@pytest.mark.parametrize("address", [TCP, UDP])
def test_in_clear_the_public_commands_are_answered(address: Address) -> None:
    house = House(plugins=("OPEN",), services={"cluckd": CLUCKD})
    assert house.ask("HELP", address) == "COMMANDS list=ALIVE,HELP,STATUS"
    assert house.ask("STATUS", address) == "PROXY_STATUS pid=7;state=serving"
    assert house.ask("ALIVE", address).startswith("ABSOLUTELY ")
    assert house.ask("SOURCES", address).startswith("INVALID ")
    assert house.ask("OPEN", address) == "UNKNOWN command=OPEN"
    assert house.ask("cluckd/STOP", address).startswith("INVALID ")
    assert house.proxy.delivered == []


def test_other_networks_get_no_answer() -> None:
    house = House(allow="192.0.2.0/24")
    client = house.client(TCP)
    house.sim.run()
    client.expect_end()
    datagrams = house.sim.datagram_client(UDP)
    datagrams.send(b"ALIVE")
    house.sim.run()
    assert datagrams.received == []
    tcp, udp = (text for _, _, text in house.sim.log)
    assert tcp.endswith(" is refused: its address is not in allow; 1 refused so far")
    assert udp.endswith("a datagram was dropped: its sender is not in an allowed network")
    assert house.ask("ALIVE").startswith("ABSOLUTELY ")  # networks do not concern a Unix socket


@pytest.mark.parametrize(("address", "kept"), [(TCP, False), (UNIX, True)], ids=str)
def test_silent_clients_keep_no_others_out_where_everybody_can_connect(
    address: Address, kept: bool
) -> None:
    house = House()
    silent = [house.sim.client(address) for _ in range(MAX_CONNECTIONS)]
    house.sim.run()  # until nothing more happens
    assert [peer.ended for peer in silent] == [not kept] * MAX_CONNECTIONS
    assert (house.sim.now >= IDLE_S) != kept
    if not kept:
        assert house.ask("ALIVE", address).startswith("ABSOLUTELY")


def test_mutual_tls_is_trusted_and_other_tls_is_not() -> None:
    house = House()
    tls = Address.parse("tls://10.0.0.1:4043")
    closed = house.door.listener(tls, object()).dispatcher
    opened = house.door.listener(tls, object(), mutual=True).dispatcher
    assert closed.forward is None
    assert opened.forward is not None


# -- plugins -------------------------------------------------------------------------------------


def test_what_plugins_declare_reaches_them_and_their_replies_come_back() -> None:
    house = House(plugins=("OPEN",))
    client, other = house.client(), house.client()
    client.send("<snap:operator OPEN door=3")
    other.send("doors/OPEN")
    house.sim.run()
    (_, text, route), (name, _, further) = house.proxy.delivered
    assert text == "<snap:operator OPEN door=3"
    assert name == "doors"
    house.proxy.reply(further, "OPENED")
    house.proxy.reply(route, "snap:operator/OPENED door=3")
    house.proxy.reply(route, "snap:operator/CLOSED door=3")
    house.sim.run()
    assert [each.to_text() for each in other.messages] == ["OPENED"]
    assert [each.command for each in client.messages] == ["OPENED", "CLOSED"]


def test_help_lists_them_for_all_and_for_one() -> None:
    house = House(plugins=("OPEN", "SHUT<number>"))
    assert "OPEN,QUITTING" in house.ask("HELP")
    assert house.ask("doors/HELP") == "COMMANDS list=OPEN,SHUT<number>"
    assert house.ask("windows/HELP").startswith("INVALID command=HELP")
    for text in ("HELP command=SHUT7", "HELP command=SHUT<number>", "doors/HELP command=SHUT7"):
        usage = "SHUT<number>: About SHUT<number>."
        assert house.ask(text) == f"COMMANDS list=SHUT<number>;usage={usage}"
    for text in ("HELP command=LOCK", "doors/HELP command=LOCK"):
        assert house.ask(text) == "UNKNOWN command=LOCK"
    assert house.ask("HELP command=STOP").startswith("COMMANDS list=STOP;usage=STOP: ")


def test_a_reply_to_a_client_that_has_gone_is_dropped() -> None:
    house = House(plugins=("OPEN",))
    client = house.client()
    client.send("OPEN")
    house.sim.run()
    client.close()
    house.sim.run()
    house.proxy.reply(house.proxy.delivered[0][2], "OPENED")
    house.proxy.reply(12345, "OPENED")
    house.sim.run()


def test_ways_back_are_bounded() -> None:
    routes = Routes()
    numbers = [routes.add(lambda message: None) for _ in range(KEPT + 5)]
    assert 0 not in numbers
    assert [routes.get(each) is None for each in numbers[:6]] == [True] * 5 + [False]


# -- other services ------------------------------------------------------------------------------


class Services(House):
    """A proxy that forwards to cluckd."""

    def __init__(self) -> None:
        super().__init__(services={"cluckd": CLUCKD})
        self.server = self.sim.server(CLUCKD)

    def cluckd(self) -> Peer:
        """Return its end of the connection."""
        self.sim.run()
        return self.server.peers[-1]


def test_a_message_for_a_service_is_forwarded_and_its_reply_comes_back() -> None:
    house = Services()
    client, other = house.client(), house.client()
    client.send("<there:operator snap:cluckd/STOP now=1")
    house.sim.run()
    other.send("cluckd/HELP")
    cluckd = house.cluckd()
    assert cluckd.received.splitlines() == [
        b"<snap:vcproxy_1 snap:cluckd/STOP now=1",
        b"<snap:vcproxy_2 cluckd/HELP",
    ]
    cluckd.send(b"snap:vcproxy_2/COMMANDS list=STOP\nsnap:vcproxy_1/BYE\nvcproxy/NOISE\n")
    house.sim.run()
    assert [each.to_text() for each in client.messages] == ["there:operator/BYE"]
    assert [each.to_text() for each in other.messages] == ["COMMANDS list=STOP"]
    assert house.proxy.told == []


# -- clients that behave badly -------------------------------------------------------------------


def test_an_endless_line_ends_the_connection_only() -> None:
    house = House()
    client = house.sim.client(UNIX)
    client.send(b"A" * 100_000)
    house.sim.run()
    assert client.ended
    assert client.received.startswith(b"INVALID ")
    assert house.ask("ALIVE").startswith("ABSOLUTELY ")


LONG = "A" * 65_000


@pytest.mark.parametrize("address", [UNIX, TCP])
@pytest.mark.parametrize(
    ("text", "reply"),
    [
        (f"ALIVE serial={LONG}{'A' * 500}", "INVALID message=the reply ABSOLUTELY is too long: "),
        (f"{LONG}{'A' * 530}", "INVALID message=the reply UNKNOWN is too long: "),
        (f"{LONG}{'A' * 500}/STOP", "INVALID message=the reply INVALID is too long: "),
        (f"<a:{LONG}{'A' * 500} ALIVE", "INVALID message=the reply ABSOLUTELY is too long: "),
    ],
    ids=["parameter", "command", "receiver", "sender"],
)
def test_a_message_whose_reply_would_be_too_long(text: str, reply: str, address: Address) -> None:
    house = House()
    client = house.client(address)
    client.send(text)
    client.send("ALIVE")
    house.sim.run()
    assert client.messages[0].to_text().startswith(reply)
    assert client.messages[1].command == "ABSOLUTELY"


@pytest.mark.parametrize("receiver", ["", "doors/"])
def test_a_message_for_plugins_that_is_too_long_when_it_is_passed_on(receiver: str) -> None:
    house = House(plugins=("OPEN",))
    text = f"{receiver}OPEN door=" + r"\q" * 30_000  # each backslash is doubled
    assert house.ask(text).startswith(
        "INVALID command=OPEN;message=a message has at most 65536 bytes, this one has 900"
    )
    assert house.proxy.delivered == []


def test_a_message_that_cannot_be_forwarded_ends_nothing() -> None:
    house = Services()
    reply = house.ask(f"cluckd/STOP now={LONG}{'A' * 520}")
    assert reply.startswith("INVALID command=STOP;message=a message has at most 65536 bytes")
    client = house.client()
    client.send(f"<there:{'a' * 200} cluckd/LIST")
    assert house.cluckd().received == b"<snap:vcproxy_2 cluckd/LIST\n"
    house.cluckd().send(f"vcproxy_2/LISTED list={LONG}{'A' * 500}\n".encode())
    house.sim.run()
    assert client.messages[0].text("message").startswith("the reply LISTED is too long: ")
    client.send("cluckd/STOP")
    house.sim.run()
    assert house.cluckd().received.endswith(b"\n<snap:vcproxy_3 cluckd/STOP\n")


def test_a_client_that_does_not_read_is_not_read_from() -> None:
    house = House()
    client = house.sim.client(UNIX)
    client.stall()
    client.send(b"HELP\n" * 400_000)  # 2 MB, for 30 MB of replies
    house.sim.run()
    assert house.engine.memory.used < 1 << 20
    assert house.ask("ALIVE").startswith("ABSOLUTELY ")


def test_connections_are_limited() -> None:
    house = House()
    clients = [house.client() for _ in range(MAX_CONNECTIONS + 3)]
    house.sim.run()
    for client in clients:
        client.send("ALIVE")
    house.sim.run()
    assert sum(bool(client.messages) for client in clients) == MAX_CONNECTIONS
    for client in clients[:3]:
        client.close()
    house.sim.run()
    assert sum(bool(client.messages) for client in clients) == MAX_CONNECTIONS + 3


def test_commands_that_wait_for_their_end_are_limited() -> None:
    house = House()
    client = house.client()
    for _ in range(MOST_LATE + 3):
        client.send("RELOAD")
    house.sim.run()
    refused = f"INVALID command=RELOAD;message={MOST_LATE} commands wait for their end"
    assert [each.to_text() for each in client.messages] == [refused] * 3
    assert len(house.proxy.results) == MOST_LATE
    for result in house.proxy.results:
        result("")
    house.sim.run()
    assert len(client.messages) == MOST_LATE + 3
    client.send("RELOAD")
    house.sim.run()
    assert len(house.proxy.results) == MOST_LATE + 1


def test_junk_is_answered_and_does_no_harm() -> None:
    house = House()
    client = house.client()
    for junk in ("/", "A B", "STOP ;", "{", '{"command": 5}'):
        client.send(junk)
    house.sim.run()
    assert [each.command for each in client.messages] == ["INVALID"] * 5
    assert house.proxy.told == []


def test_the_end_closes_each_connection_after_its_output() -> None:
    house = House()
    client = house.client()
    client.send("STOP")
    house.sim.run()
    house.door.close()
    house.sim.run()
    client.expect("STOPPING")
    client.expect_end()


def test_a_client_that_has_ended_its_direction_gets_its_replies_and_is_closed_with_them() -> None:
    house = House()
    client = house.sim.client(UNIX)
    client.send(b"ALIVE\nRELOAD\nRELOAD\n")
    client.end()
    house.sim.run(until=lambda: len(house.proxy.results) == 2)
    house.sim.elapse(5.0)
    assert client.received.startswith(b"ABSOLUTELY ")
    assert not client.ended
    house.proxy.results[0]("")
    house.sim.elapse(1.0)
    assert client.received.endswith(b"\nRELOADED\n")
    assert not client.ended
    house.proxy.results[1]("")
    house.sim.elapse(1.0)
    assert client.received.endswith(b"\nRELOADED\nRELOADED\n")
    assert client.ended


@pytest.mark.parametrize("text", ["ALIVE", "STATUS", "HELP", "LOG_ROTATE", "/"])
def test_it_is_closed_at_once_after_a_reply_that_came_at_once(text: str) -> None:
    house = House()
    client = house.sim.client(UNIX)
    client.send(text.encode() + b"\n")
    client.end()
    house.sim.elapse(0.5)
    assert client.received
    assert client.ended


def test_a_message_may_be_json() -> None:
    assert House().ask(BusMessage("STOP").to_json()) == "STOPPING"
