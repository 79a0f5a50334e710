"""Exchange: a request that was sent on the direct path, continued as an ordinary one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from vcproxy.http.message.limits import MessageLimits
from vcproxy.http.message.parsing import parse_request
from vcproxy.http.proxy.connection import HttpProxy
from vcproxy.http.proxy.routing import EVERYTHING
from vcproxy.http.proxy.sent_request import SentRequest

from .harness import GET, OK, Http, answer, received, request, stage

if TYPE_CHECKING:
    from vcproxy.drivers.sim import Peer
    from vcproxy.engine.net import NetVConnection

DIRECT = request(target="/direct")


def idle_connection(proxy: Http) -> tuple[Peer, Peer]:
    """A client whose first request was answered, and the server whose connection is idle."""
    client = proxy.send(GET)
    server = proxy.server()
    server.send(OK)
    proxy.go()
    received(client)
    received(server)
    return client, server


def resume(proxy: Http, sent: int, arrived: bytes = b"") -> HttpProxy:
    """Hand over a request of which `sent` bytes were written to the server's connection."""
    [session] = proxy.sessions
    assert isinstance(session, HttpProxy)
    upstream = proxy.service.upstream
    assert upstream is not None

    taken: list[NetVConnection] = []

    def write() -> None:
        with session.mutex.hold(proxy.engine):
            vc = upstream.take(session)
            assert vc is not None
            assert vc.write_vio is not None
            vc.write_vio.pending = True
            vc.write_vio.reader.buffer.write(DIRECT[:sent])
            vc.write_vio.reenable()
            taken.append(vc)

    def hand_over() -> None:
        [vc] = taken
        assert vc.write_vio is not None
        found = SentRequest(
            parse_request(DIRECT, MessageLimits()), EVERYTHING, upstream, vc,
            began_s=proxy.engine.now, idle_s=0.5, before=vc.write_vio.ndone - sent,
            unsent=DIRECT[sent:], arrived=arrived,
        )  # fmt: skip
        with session.mutex.hold(proxy.engine):
            session.handle_event(SentRequest, found)

    for step in (write, hand_over):
        proxy.engine.inbox.post(step)
        proxy.go()
    return session


@pytest.mark.parametrize(
    ("sent", "arrived"),
    [(0, 0), (10, 0), (10, 10), (len(DIRECT), 0), (len(DIRECT), 10), (len(DIRECT), len(OK))],
)
def test_a_request_that_was_sent_directly(sent: int, arrived: int) -> None:
    with Http() as proxy:
        client, server = idle_connection(proxy)
        session = resume(proxy, sent, OK[:arrived])
        assert received(server) == DIRECT.decode().replace("\r\n", "\n")
        assert session.requests == 2
        if arrived < len(OK):
            assert stage(session) == "AWAITING_RESPONSE"
            server.send(OK[arrived:])
            proxy.go()
        assert received(client).endswith("\n\nyes")
        assert stage(session) == "READING_HEAD"
        client.send(GET)
        proxy.go()
        server.send(answer(b"next"))
        proxy.go()
        assert received(client).endswith("\n\nnext")
        assert proxy.connections() == 1


def test_it_is_sent_again_if_its_connection_was_stale() -> None:
    with Http() as proxy:
        client, server = idle_connection(proxy)
        resume(proxy, len(DIRECT))
        server.close()
        proxy.go()
        again = proxy.server()
        proxy.go()
        assert received(again).startswith("GET /direct ")
        again.send(OK)
        proxy.go()
        assert received(client).endswith("\n\nyes")


def test_its_deadline_counts_from_its_beginning() -> None:
    with Http() as proxy:
        client, _ = idle_connection(proxy)
        resume(proxy, len(DIRECT))
        proxy.elapse(59.8)
        assert received(client) == ""
        proxy.elapse(0.2)
        assert received(client).startswith("HTTP/1.1 504 ")
