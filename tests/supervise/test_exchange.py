"""Exchanges of clients: what is sent, what is printed, what ends them and how."""

from __future__ import annotations

from vcproxy.bus.mailbox.letter import Letter
from vcproxy.supervise.exchange import (
    DONE,
    FAILURE,
    ListenExchange,
    ListExchange,
    Outcome,
    SendExchange,
    StartExchange,
    StopExchange,
)

OWN, SERVER, MACHINE = ("127.0.0.1", 50498), ("127.0.0.1", 42000), ("127.0.0.1", 48560)
STRANGER = ("127.0.0.1", 7)


def letter(text: str, sender: tuple[str, int] = MACHINE) -> Letter:
    return Letter(sender, text, OWN)


def start(*, follow: bool = False) -> StartExchange:
    return StartExchange(SERVER, "echo/Echo", 5000, ("a", "b"), follow)


def test_start_ends_when_the_machine_has_started() -> None:
    exchange = start()

    assert (exchange.to, exchange.messages) == (SERVER, ("start echo/Echo :5000 a b",))
    assert exchange.acknowledged() is None
    assert exchange.received(letter("started echo/Echo")) == DONE


def test_start_is_not_ended_by_others() -> None:
    exchange = start()

    assert exchange.received(letter("started echo/Other")) is None
    assert exchange.received(letter("started")) is None
    assert exchange.received(letter("errored echo/Echo no", STRANGER)) is None
    assert exchange.received(letter("exited echo/Echo", STRANGER)) is None


def test_start_fails_when_the_server_cannot_start_it() -> None:
    exchange = start(follow=True)

    assert exchange.received(letter("errored echo/Echo no such file", SERVER)) == Outcome(FAILURE)


def test_start_fails_when_nothing_comes() -> None:
    overdue = start().overdue()
    assert overdue is not None
    assert overdue.status == FAILURE
    assert overdue.error.startswith("echo/Echo has not started in time; ")
    assert start().given_up() == Outcome(
        FAILURE, "nothing answers at 127.0.0.1:42000: start it, or correct the address"
    )
    assert start().interrupted() == Outcome(FAILURE)


def test_a_followed_machine_ends_it_when_it_has_exited() -> None:
    exchange = start(follow=True)

    assert exchange.received(letter("started echo/Echo")) is None
    assert exchange.overdue() is None
    assert exchange.given_up() is None
    assert exchange.received(letter("pulsed echo/Echo")) is None
    assert exchange.received(letter("exited echo/Echo", STRANGER)) is None
    assert exchange.interrupted() == DONE
    assert exchange.received(letter("exited echo/Echo")) == DONE


def test_a_followed_machine_that_has_errored_is_no_failure_of_the_command() -> None:
    """As in the original: what it has sent is printed."""
    exchange = start(follow=True)

    exchange.received(letter("started echo/Echo"))
    assert exchange.received(letter("errored echo/Echo AHHHHH")) is None
    assert exchange.received(letter("exited echo/Echo")) == DONE


def test_stop_ends_when_the_server_has_it() -> None:
    exchange = StopExchange(SERVER, 48560)

    assert (exchange.to, exchange.messages) == (SERVER, ("stop 48560",))
    assert exchange.received(letter("hello")) is None
    assert exchange.acknowledged() == DONE


def test_send_ends_when_all_is_acknowledged() -> None:
    exchange = SendExchange(MACHINE, ("on", "off"), 0)

    assert (exchange.to, exchange.messages) == (MACHINE, ("on", "off"))
    assert exchange.received(letter("early")) is None
    assert exchange.acknowledged() == DONE


def test_send_waits_for_replies_however_long() -> None:
    exchange = SendExchange(MACHINE, ("on",), 2)

    assert not exchange.limited
    assert exchange.acknowledged() is None
    assert exchange.received(letter("one")) is None
    assert exchange.received(letter("two")) == DONE


def test_list_waits_for_the_server_only() -> None:
    exchange = ListExchange(SERVER)

    assert exchange.messages == ("list",)
    assert exchange.received(letter("Port,PID,Machine\n1,1,x\n", STRANGER)) is None
    assert exchange.received(letter("Port,PID,Machine\n", SERVER)) == DONE
    assert exchange.overdue() == Outcome(FAILURE, "127.0.0.1:42000 has not sent its list in time")


def test_listen_ends_by_a_signal_only() -> None:
    exchange = ListenExchange()

    assert exchange.messages == ()
    assert exchange.acknowledged() is None
    assert exchange.received(letter("hello")) is None
    assert exchange.interrupted() == DONE
