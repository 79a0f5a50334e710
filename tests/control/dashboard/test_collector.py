"""The collector, at a web server in a simulation: pages come and go, and answers are late."""

from __future__ import annotations

import json
from typing import Any

from tests.control.dashboard.busy_proxy import BusyProxy
from vcproxy.control.dashboard.collector import MOST_PAGES, Collector
from vcproxy.control.dashboard.samples import QUESTIONS
from vcproxy.control.web.web_reply import WebReply
from vcproxy.control.web.web_request import WebRequest
from vcproxy.control.web.web_server import WebRoute, WebServer
from vcproxy.drivers.sim import Peer, Simulation
from vcproxy.engine.address import Address

HERE = Address.parse("tcp://10.0.0.1:80")


class Site:
    """A collector behind a server with one route."""

    def __init__(self) -> None:
        self.sim = Simulation(seed=11)
        self.log: list[str] = []
        driver = self.sim.driver("control", log=self._log)
        self.engine = driver.engine
        self.proxy = BusyProxy()
        self.collector = Collector(self.engine, self.proxy)
        self.collector.start()
        driver.listen(HERE, WebServer(self.engine, "web", [WebRoute("GET", "/", self._events)]))
        self.sim.run()

    def _log(self, level: str, text: str, error: Exception | None = None) -> None:
        self.log.append(f"{level}: {text}: {type(error).__name__}")

    def _events(self, request: WebRequest, reply: WebReply) -> None:
        stream = reply.stream(closed=lambda: self.collector.remove(stream))
        self.collector.add(stream)

    def open(self) -> Peer:
        """Return a page that has asked for events."""
        page = self.sim.client(HERE)
        page.send(b"GET / HTTP/1.1\r\nHost: 10.0.0.1\r\n\r\n")
        return page


def pictures(page: Peer) -> list[dict[str, Any]]:
    """Return the pictures that a page has got."""
    text = bytes(page.received).decode().partition("\r\n\r\n")[2]
    events = text.split("\n\n")[1:-1]  # the first one is `retry`
    assert all(each.startswith("event: picture\ndata: ") for each in events)
    return [json.loads(each.partition("data: ")[2]) for each in events]


def test_nothing_is_asked_while_no_page_is_open() -> None:
    site = Site()
    site.sim.elapse(60.0)
    assert site.proxy.asked == []
    assert site.engine.next_deadline() is None


def test_a_picture_each_second() -> None:
    site = Site()
    page = site.open()
    site.sim.elapse(5.5)
    got = pictures(page)
    assert 5 <= len(got) <= 6
    assert got[0]["seconds"] == 0
    assert 1.0 <= got[1]["seconds"] < 1.1
    assert site.proxy.asked == list(QUESTIONS) * len(got)


def test_nothing_is_asked_after_the_last_page_is_closed() -> None:
    site = Site()
    one, two = site.open(), site.open()
    site.sim.elapse(2.5)
    one.close()
    site.sim.elapse(2.0)
    asked = len(site.proxy.asked)
    assert len(pictures(two)) == 5
    two.close()
    site.sim.elapse(60.0)
    assert len(site.proxy.asked) - asked <= len(QUESTIONS)
    assert site.engine.next_deadline() is None


def test_a_second_page_gets_the_last_picture_at_once() -> None:
    site = Site()
    one = site.open()
    site.sim.elapse(2.5)
    two = site.open()
    site.sim.elapse(0.2)
    assert pictures(two)[0] == pictures(one)[2]


def test_a_page_that_is_opened_later_begins_anew() -> None:
    site = Site()
    one = site.open()
    site.sim.elapse(3.0)
    one.close()
    site.sim.elapse(30.0)
    two = site.open()
    site.sim.elapse(0.5)
    assert [each["seconds"] for each in pictures(two)] == [0]


def test_a_question_that_is_not_answered() -> None:
    site = Site()
    site.proxy.silent = {"servers", "sinks"}
    page = site.open()
    site.sim.elapse(7.0)
    [got] = pictures(page)
    assert {
        "about": "process",
        "level": "bad",
        "text": "no answer in time about: servers, sinks",
    } in (got["problems"])
    assert "listener web" in {each["id"] for each in got["nodes"]}


def test_an_answer_that_comes_after_the_pages_are_gone_is_dropped() -> None:
    site = Site()
    site.proxy.silent = set(QUESTIONS)
    page = site.open()
    site.sim.elapse(1.0)
    page.close()
    site.sim.elapse(1.0)
    site.proxy.silent = set()
    page = site.open()
    site.sim.elapse(0.5)
    assert [each["seconds"] for each in pictures(page)] == [0]


def test_a_picture_that_fails_is_logged_once_and_shown() -> None:
    site = Site()
    site.proxy.broken = True
    page = site.open()
    site.sim.elapse(3.5)
    assert site.log == ["error: control: the dashboard cannot be drawn: KeyError"]
    got = pictures(page)
    assert [each["text"] for each in got[0]["problems"]] == [
        "this page cannot be drawn: the log has the error"
    ]
    site.proxy.broken = False
    site.sim.elapse(2.5)
    assert pictures(page)[-1]["problems"][0]["text"].startswith("10.0.1.3:8080 of api is down")


def test_the_end_of_the_proxy_ends_the_streams() -> None:
    site = Site()
    pages = [site.open() for _ in range(MOST_PAGES)]
    site.sim.elapse(1.0)
    assert site.collector.full
    with site.collector.mutex.hold(site.engine):
        site.collector.close()
    site.sim.elapse(5.0)
    assert all(each.ended for each in pages)
    assert site.engine.next_deadline() is None
