"""Sticky sessions of the real program: workers, a reload, a restart; Python's client."""

from __future__ import annotations

import signal
from collections import Counter
from collections.abc import Iterator

import pytest
import requests

from tests.e2e.conftest import Starter
from tests.e2e.running import Running
from tests.e2e.web import Origin, origin, web

STICKY = 'sticky = { secret = "a secret of the test" }\n'


@pytest.fixture
def servers() -> Iterator[list[Origin]]:
    """Two servers."""
    with origin() as one, origin() as two:
        yield [one, two]


def configured(servers: list[Origin], workers: int = 0) -> str:
    text = web(*(each.uri for each in servers), options=STICKY)
    return (f"[proxy]\nworkers = {workers}\n" if workers else "") + text


def asked(running: Running, servers: list[Origin], cookies: dict[str, str]) -> int:
    """Send a request with these cookies on a new connection, and store those of the response;
    return the index of the server that has got it."""
    before = [len(each.received) for each in servers]
    with requests.Session() as client:
        client.cookies.update(cookies)
        got = client.get(f"http://127.0.0.1:{running.port('in')}/", timeout=60)
        assert got.status_code == 200
        cookies |= {each.name: each.value or "" for each in got.cookies}
    (index,) = [at for at, each in enumerate(servers) if len(each.received) > before[at]]
    assert "vcproxy_" not in servers[index].received[-1].fields.get("Cookie", "")
    return index


def test_a_client_stays_in_all_workers_and_after_a_reload(
    proxy: Starter, servers: list[Origin]
) -> None:
    running = proxy(configured(servers, workers=2))
    jars: list[dict[str, str]] = [{} for _ in range(6)]
    first = [asked(running, servers, jar) for jar in jars]
    assert set(first) == {0, 1}
    for _ in range(5):
        assert [asked(running, servers, jar) for jar in jars] == first
    running.file.write_text(configured(servers[::-1], workers=2))  # in another order
    count = running.log.count("reloaded")
    running.signal(signal.SIGHUP)
    running.wait_for("reloaded", count + 1)
    for _ in range(3):
        assert [asked(running, servers, jar) for jar in jars] == first


def test_a_client_stays_after_a_restart(proxy: Starter, servers: list[Origin]) -> None:
    running = proxy(configured(servers))
    jar: dict[str, str] = {}
    first = asked(running, servers, jar)
    running.stop()
    again = proxy(configured(servers))
    assert Counter(asked(again, servers, jar) for _ in range(5)) == {first: 5}


def test_a_client_of_a_server_that_has_gone_gets_another_for_good(
    proxy: Starter, servers: list[Origin]
) -> None:
    running = proxy(configured(servers))
    jar: dict[str, str] = {}
    first = asked(running, servers, jar)
    cookie = dict(jar)
    servers[first].close()
    assert asked(running, servers, jar) == 1 - first
    assert jar != cookie
    assert asked(running, servers, jar) == 1 - first
