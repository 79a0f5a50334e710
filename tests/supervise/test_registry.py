"""The registry: only processes of the server, one machine at an address, gone when it ends."""

from __future__ import annotations

import pytest

from vcproxy.supervise.registry import LIST_LIMIT, Registration, Registry, listing

HERE = "127.0.0.1"


def test_machines_are_listed_by_port_until_they_unregister_or_end() -> None:
    registry = Registry()
    registry.started(22364, "echo/Echo")
    registry.started(22370, "family/Child#Alice")
    assert registry.text() == "Port,PID,Machine\n"

    registry.register((HERE, 48560), 22364)
    registry.register((HERE, 5000), 22370)
    assert (
        registry.text()
        == "Port,PID,Machine\n5000,22370,family/Child#Alice\n48560,22364,echo/Echo\n"
    )
    assert registry.text(legacy=True) == (
        "Port,Machine,PID\n5000,family/Child#Alice,22370\n48560,echo/Echo,22364\n"
    )

    registry.unregister((HERE, 48560))
    registry.ended(22370, 0.0)
    assert registry.text() == "Port,PID,Machine\n"
    assert len(registry) == 0


def test_a_process_that_the_server_has_not_started_is_refused() -> None:
    registry = Registry()

    with pytest.raises(ValueError, match="process 1 was not started by this server"):
        registry.register((HERE, 6000), 1)
    assert len(registry) == 0


def test_a_process_that_has_ended_is_refused() -> None:
    registry = Registry()
    registry.started(7, "echo/Echo")
    registry.ended(7, 0.0)

    with pytest.raises(ValueError, match="or has ended"):
        registry.register((HERE, 6000), 7)


def test_another_sender_cannot_move_a_registered_process() -> None:
    registry = Registry()
    registry.started(7, "echo/Echo")
    registry.register((HERE, 6000), 7)

    with pytest.raises(ValueError, match="registered already, at port 6000"):
        registry.register((HERE, 6001), 7)
    assert registry.at((HERE, 6000)) == Registration((HERE, 6000), 7, "echo/Echo")
    assert registry.at((HERE, 6001)) is None


def test_a_second_register_at_an_address_replaces_the_first() -> None:
    """The original keeps the first, so that its `list` and `stop` use a dead process."""
    registry = Registry()
    registry.started(7, "echo/Echo")
    registry.started(8, "echo/Echo")
    registry.register((HERE, 6000), 7)

    registry.register((HERE, 6000), 8)
    assert registry.text() == "Port,PID,Machine\n6000,8,echo/Echo\n"

    registry.ended(7, 0.0)
    assert registry.text() == "Port,PID,Machine\n6000,8,echo/Echo\n"


def test_the_same_register_twice_is_one_registration() -> None:
    registry = Registry()
    registry.started(7, "echo/Echo")
    registry.register((HERE, 6000), 7)

    registry.register((HERE, 6000), 7)
    assert len(registry) == 1


def test_two_hosts_may_use_one_port() -> None:
    registry = Registry()
    registry.started(7, "echo/Echo")
    registry.started(8, "echo/Echo")
    registry.register((HERE, 6000), 7)
    registry.register(("127.0.0.2", 6000), 8)

    assert registry.unregister(("127.0.0.2", 6000)) == Registration(
        ("127.0.0.2", 6000), 8, "echo/Echo"
    )
    assert registry.unregister(("127.0.0.2", 6000)) is None
    assert registry.text() == "Port,PID,Machine\n6000,7,echo/Echo\n"


def test_a_list_longer_than_a_datagram_is_cut_at_a_line() -> None:
    many = [Registration((HERE, port), port, "n" * 200) for port in range(1000, 2000)]

    text = listing(many)

    assert LIST_LIMIT - 220 < len(text) <= LIST_LIMIT
    assert text.endswith("n\n")
    assert {len(line) for line in text.splitlines()[1:]} == {4 + 1 + 4 + 1 + 200}


def test_the_address_of_a_machine_that_was_killed_is_known_for_a_minute() -> None:
    registry = Registry()
    registry.started(17, "echo/Echo")
    registry.register(("127.0.0.1", 5000), 17)
    assert not registry.has_ended(("127.0.0.1", 5000), 0.0)
    registry.ended(17, 100.0)
    assert registry.has_ended(("127.0.0.1", 5000), 159.0)
    assert not registry.has_ended(("127.0.0.1", 5000), 160.0)


def test_a_machine_that_has_unregistered_itself_sends_nothing_more() -> None:
    registry = Registry()
    registry.started(17, "echo/Echo")
    registry.register(("127.0.0.1", 5000), 17)
    registry.unregister(("127.0.0.1", 5000))
    registry.ended(17, 100.0)
    assert not registry.has_ended(("127.0.0.1", 5000), 101.0)


def test_the_next_machine_at_the_address_is_not_the_one_that_has_ended() -> None:
    registry = Registry()
    for pid in (17, 18):
        registry.started(pid, "echo/Echo")
    registry.register(("127.0.0.1", 5000), 17)
    registry.ended(17, 100.0)
    registry.register(("127.0.0.1", 5000), 18)
    assert not registry.has_ended(("127.0.0.1", 5000), 101.0)
