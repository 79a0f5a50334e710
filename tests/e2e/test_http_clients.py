"""HTTP between clients and servers of other projects: data arrives as sent."""

from __future__ import annotations

import json
import os
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from tests.e2e.conftest import Starter, Tools
from tests.e2e.running import Running, Server, all_of, exactly, refusing
from tests.e2e.web import GET, Origin, nginx, origin, way_out, web

CURL = "curl", "-sS", "--max-time", "15"


@pytest.fixture
def behind() -> Iterator[Origin]:
    """A server of Python's, behind the proxy."""
    with origin() as server:
        yield server


@pytest.fixture
def served(proxy: Starter, behind: Origin) -> Running:
    """A proxy in front of it."""
    return proxy(web(behind.uri))


def url(running: Running, path: str = "/") -> str:
    """Where a listener serves HTTP."""
    return f"http://127.0.0.1:{running.port('in')}{path}"


# -- curl ----------------------------------------------------------------------------------------


def test_requests_without_a_body(served: Running, behind: Origin, tools: Tools) -> None:
    for method, how in (("GET", "-i"), ("HEAD", "-I")):
        text = tools.run(*CURL, how, "-H", "X-Mine: kept", url(served, "/a?b=c")).decode()
        assert text.startswith("HTTP/1.1 200 OK\r\n")
        assert "Via: 1.1 vcproxy\r\n" in text
        received = behind.received[-1]
        assert received[:2] == (method, "/a?b=c")
        assert received.fields["X-Mine"] == "kept"
        assert received.fields["X-Forwarded-For"] == "127.0.0.1"
        assert received.fields["Host"] == f"127.0.0.1:{served.port('in')}"


@pytest.mark.parametrize("framing", ["Content-Length", "chunked"])
def test_bodies_arrive_and_come_back(
    served: Running, behind: Origin, tools: Tools, framing: str
) -> None:
    framed = ("-H", "Transfer-Encoding: chunked") if framing == "chunked" else ()
    for size in (0, 1, 1_000, 300_000):
        body = os.urandom(size)
        command = *CURL, "-H", "Expect:", *framed, "--data-binary", "@-", url(served)
        assert tools.run(*command, stdin=body) == body
        assert behind.received[-1][::3] == ("POST", body)


def test_100_continue_comes_from_the_server(served: Running, behind: Origin, tools: Tools) -> None:
    """Without 100 Continue, curl would send nothing before it gives up."""
    command = *CURL, "-v", "--expect100-timeout", "60", "-H", "Expect: 100-continue"
    text = tools.run(*command, "--data-binary", "@-", url(served), stdin=b"hello")
    assert b"< HTTP/1.1 100 Continue" in text
    assert behind.received[0].body == b"hello"


def test_a_body_that_is_refused_is_never_sent(proxy: Starter, tools: Tools) -> None:
    with Server() as server:
        running = proxy(web(server.uri))
        command = *CURL, "-i", "--expect100-timeout", "60", "-H", "Expect: 100-continue"
        asking = tools.start(*command, "--data-binary", "@/etc/hostname", url(running))
        with server.next() as accepted:
            head = accepted.recv(1 << 16)
            accepted.sendall(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 3\r\n\r\nno\n")
            assert asking.wait(15) == 0
            assert b"\r\nExpect: 100-continue\r\n" in head
            assert head.endswith(b"\r\n\r\n")
            assert all_of(accepted) == b""


def test_http_1_0(served: Running, behind: Origin, tools: Tools) -> None:
    text = tools.run(*CURL, "-0", "-i", "-d", "hello", url(served))
    assert text.endswith(b"\r\n\r\nhello")
    kept = tools.run(*CURL, "-0", "-i", "-H", "Connection: keep-alive", url(served))
    assert b"Connection: keep-alive\r\n" in kept
    assert [each.body for each in behind.received] == [b"hello", b""]


def test_a_chunked_answer_for_http_1_0_ends_with_the_connection(
    proxy: Starter, tools: Tools
) -> None:
    with Server() as server:
        running = proxy(web(server.uri))
        with running.connect("in") as client:
            client.sendall(b"GET / HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\n\r\n")
            with server.next() as accepted:
                accepted.recv(1 << 16)
                accepted.sendall(
                    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n"
                )
                accepted.sendall(b"0\r\nX-After: 1\r\n\r\n")
                head, _, body = all_of(client).partition(b"\r\n\r\n")
    assert body == b"abc"
    assert b"chunked" not in head
    assert b"\r\nConnection: close" in head


def test_connections_are_kept_on_both_sides(served: Running, behind: Origin, tools: Tools) -> None:
    count = 5
    text = tools.run(*CURL, "-w", "%{num_connects}", *[url(served)] * count)
    assert text == b"10000"
    tools.run(*CURL, url(served))  # another client, the same server connection
    assert len(behind.received) == count + 1
    assert len(behind.connections) == 1


@pytest.mark.parametrize("framing", ["Content-Length", "chunked"])
def test_connections_are_kept_behind_bodies(served: Running, behind: Origin, framing: str) -> None:
    """The connection stays open after a body that was sent separately from its head."""
    head, body = b"Content-Length: 5", b"hello"
    if framing == "chunked":
        head, body = b"Transfer-Encoding: chunked", b"5\r\nhello\r\n0\r\n\r\n"
    with served.connect("in") as client:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for _ in range(200):
            client.sendall(b"POST / HTTP/1.1\r\nHost: a\r\n" + head + b"\r\n\r\n")
            client.sendall(body)
            text = b""
            while not text.endswith(b"\r\n\r\n" + body):
                text += exactly(client, 1)
    assert len(behind.connections) == 1


def test_trailers_come_through(proxy: Starter, tools: Tools, tmp_path: Path) -> None:
    fields = tmp_path / "fields"
    with Server() as server:
        running = proxy(web(server.uri))
        asking = tools.start(*CURL, "-D", str(fields), url(running))
        with server.next() as accepted:
            accepted.recv(1 << 16)
            accepted.sendall(
                b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n"
                b"3;ignored=yes\r\nabc\r\n0\r\nX-Sum: 7\r\n\r\n"
            )
            assert asking.wait(15) == 0
        with running.connect("in") as client:
            client.sendall(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
            client.sendall(b"3\r\nabc\r\n0\r\nX-Sum: 8\r\n\r\n")
            with server.next() as accepted:
                whole = b"\r\n\r\n3\r\nabc\r\n0\r\nX-Sum: 8\r\n\r\n"
                received = b""
                while not received.endswith(whole):
                    received += exactly(accepted, 1)
    assert "X-Sum: 7" in fields.read_text()


def test_pipelined_requests_are_answered_in_order(served: Running, behind: Origin) -> None:
    requests = b"".join(
        b"POST /%d HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\n%03d" % (number, number)
        for number in range(100)
    )
    with served.connect("in") as client:
        client.sendall(requests + GET.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
        text = all_of(client)
    bodies = [answer.partition(b"\r\n\r\n")[2] for answer in text.split(b"HTTP/1.1 200 OK")[1:]]
    assert bodies == [b"%03d" % number for number in range(100)] + [b""]
    assert [each.target for each in behind.received] == [f"/{n}" for n in range(100)] + ["/"]


# -- to servers that clients name ----------------------------------------------------------------


def test_forward(proxy: Starter, behind: Origin, tools: Tools) -> None:
    running = proxy(way_out(forward=behind.uri.removeprefix("tcp://")))
    through = *CURL, "-x", url(running)
    target = behind.uri.replace("tcp", "http")
    assert tools.run(*through, "-d", "hello", f"{target}/there") == b"hello"
    (received,) = behind.received
    assert received[:2] == ("POST", "/there")
    assert received.fields["Host"] == target.removeprefix("http://")
    assert "Proxy-Connection" not in received.fields
    refused = tools.run(*through, "-o", "/dev/null", "-w", "%{http_code}", "http://127.0.0.1:1/")
    assert refused == b"403"


def test_connect(proxy: Starter, behind: Origin, tools: Tools) -> None:
    running = proxy(way_out(connect=behind.uri.removeprefix("tcp://")))
    through = *CURL, "-p", "-x", url(running)
    target = behind.uri.replace("tcp", "http")
    assert tools.run(*through, "-d", "hello", *[f"{target}/"] * 3) == b"hello" * 3
    assert "Via" not in behind.received[0].fields  # a tunnel is not parsed
    assert len(behind.connections) == 1
    code = "-o", "/dev/null", "-w", "%{http_connect}\n"  # curl's exit status depends on its version
    refused = tools.run(*through, *code, "http://127.0.0.1:1/", status=None)
    assert b"403" in refused.splitlines()


# -- others --------------------------------------------------------------------------------------


def test_a_session_of_requests(served: Running, behind: Origin) -> None:
    with requests.Session() as session:
        session.trust_env = False
        session.cookies.set("id", "7")
        for number in range(20):
            answer = session.post(url(served), json={"number": number})
            assert answer.json() == {"number": number}

        def pieces() -> Iterator[bytes]:
            for number in range(50):
                yield b"%d\n" % number * 1000

        answer = session.put(url(served), data=pieces(), stream=True)
        assert b"".join(answer.iter_content(None)) == b"".join(pieces())
    assert json.loads(behind.received[0].body) == {"number": 0}
    assert behind.received[0].fields["Cookie"] == "id=7"
    assert len(behind.connections) == 1


def test_a_folder_served_by_python(proxy: Starter, tools: Tools, tmp_path: Path) -> None:
    """A server with HTTP/1.0: it closes the connection after each response."""
    (tmp_path / "page.html").write_text("<p>hello")
    server = refusing()
    port = server.rpartition(":")[2]
    tools.serve(
        server,
        *(sys.executable, "-m", "http.server", "-b", "127.0.0.1", "-d", str(tmp_path), port),
    )
    running = proxy(web(server))
    text = tools.run(*CURL, "-i", *[url(running, "/page.html")] * 2).decode()
    assert text.count("<p>hello") == text.count("HTTP/1.1 200 OK") == 2
    assert tools.run(*CURL, "-I", url(running, "/none")).startswith(b"HTTP/1.1 404 ")


def test_nginx_answers_what_is_asked(proxy: Starter, tools: Tools, tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    (root / "file").write_bytes(bytes(range(256)) * 100)
    running = proxy(web(nginx(tools, tmp_path, f"root {root};")))
    whole = url(running, "/file")
    assert tools.run(*CURL, whole) == bytes(range(256)) * 100
    assert tools.run(*CURL, "-r", "5-9", whole) == bytes(range(5, 10))
    tagged = requests.get(whole, timeout=15)
    fresh = requests.get(whole, headers={"If-None-Match": tagged.headers["ETag"]}, timeout=15)
    assert (fresh.status_code, fresh.content) == (304, b"")
    assert requests.get(url(running, "/none"), timeout=15).status_code == 404


def test_wrk_sees_no_error(proxy: Starter, tools: Tools, tmp_path: Path) -> None:
    running = proxy(web(nginx(tools, tmp_path, "location / { return 200 hello; }")))
    text = tools.run("wrk", "-t2", "-c64", "-d2s", url(running)).decode()
    assert "Requests/sec" in text
    assert "Socket errors" not in text, text
    assert "Non-2xx" not in text, text
