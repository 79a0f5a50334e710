"""compression: what is compressed, what is left alone, and what clients and caches are sent."""

from __future__ import annotations

import gzip
import zlib
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.http.duties.test_codings import decoder
from tests.http.proxy.harness import Http, answer, chunks, request
from tests.http.proxy.test_options import read, refused
from vcproxy.http.duties.codings import CODINGS
from vcproxy.http.duties.compression import CHUNK, LARGEST_WHOLE
from vcproxy.http.filters import Filter
from vcproxy.http.message.body import body_reader
from vcproxy.http.message.limits import MessageLimits
from vcproxy.http.message.messages import Request, Response
from vcproxy.http.message.parsing import head_end, parse_response
from vcproxy.http.proxy.transaction import Transaction
from vcproxy.testing.http import SimulatedHttp

LIMITS = MessageLimits()
PAGE = b"<p>a line of a page</p>\n" * 100
HTML = {"Content-Type": "text/html; charset=utf-8"}
ACCEPT = {"Accept-Encoding": "gzip, br;q=0.5"}


def get(fields: dict[str, str] | None = None, method: str = "GET") -> Request:
    return Request(method, "/", ACCEPT if fields is None else fields, host="a.example")


def exchange(
    reply: Response, asked: Request | None = None, options: Any = None, filters: Any = ()
) -> Response:
    """Return what the client is sent when the server replies so."""
    given = read(compression=options or {})
    with SimulatedHttp(*filters, answer=lambda _: reply, options=given) as proxy:
        return proxy.send(asked or get())


def coding(response: Response) -> str | None:
    return response.fields.get("Content-Encoding")


def test_a_page() -> None:
    got = exchange(Response(200, {**HTML, "ETag": '"1"', "Accept-Ranges": "bytes"}, PAGE))
    assert gzip.decompress(got.content) == PAGE
    assert len(got.content) < len(PAGE) / 10
    assert coding(got) == "gzip"
    assert got.fields["Vary"] == "Accept-Encoding"
    assert got.fields["ETag"] == 'W/"1"'
    assert "Accept-Ranges" not in got.fields


@pytest.mark.parametrize(
    "accept", [{}, {"Accept-Encoding": ""}, {"Accept-Encoding": "br, gzip;q=0"}]
)
def test_a_client_that_accepts_none_gets_the_page_as_it_is_with_vary(accept: Any) -> None:
    got = exchange(Response(200, {**HTML, "ETag": '"1"', "Vary": "Cookie"}, PAGE), get(accept))
    assert got.content == PAGE
    assert coding(got) is None
    assert got.fields.get_all("Vary") == ["Cookie, Accept-Encoding"]
    assert got.fields["ETag"] == '"1"'


@pytest.mark.parametrize("vary", ["*", "Accept-Encoding", "Cookie, accept-encoding"])
def test_vary_is_added_once(vary: str) -> None:
    got = exchange(Response(200, {**HTML, "Vary": vary}, PAGE))
    assert got.fields.get_all("Vary") == [vary]
    assert coding(got) == "gzip"


@pytest.mark.parametrize(
    ("fields", "body", "status"),
    [
        ({"Content-Encoding": "br"}, PAGE, 200),
        ({"Content-Encoding": "gzip"}, gzip.compress(PAGE * 100), 200),
        ({"Cache-Control": "max-age=5, no-transform"}, PAGE, 200),
        ({"Content-Range": "bytes 0-2399/9999"}, PAGE, 206),
        ({"Content-Range": "bytes 0-2399/9999"}, PAGE, 200),
        ({"Content-Digest": "sha-256=:AAAA:"}, PAGE, 200),
        ({"Repr-Digest": "sha-256=:AAAA:"}, PAGE, 200),
        ({"Digest": "sha-256=AAAA"}, PAGE, 200),
        ({"Content-MD5": "AAAA"}, PAGE, 200),
        ({"Content-Type": "image/png"}, PAGE, 200),
        ({"Content-Type": ""}, PAGE, 200),
        ({"Content-Type": "application/octet-stream"}, PAGE, 200),
        ({}, PAGE[:1023], 200),
        ({}, b"", 200),
        ({}, b"", 204),
    ],
)
def test_what_is_left_alone(fields: dict[str, str], body: bytes, status: int) -> None:
    sent = {**HTML, "ETag": '"1"', **fields}
    got = exchange(Response(status, sent, body))
    assert got.content == body
    assert got.fields["ETag"] == '"1"'
    assert coding(got) == fields.get("Content-Encoding")
    assert "Vary" not in got.fields, "no other client would get another body"


@pytest.mark.parametrize(
    "fields",
    [{"Cache-Control": "private, x-no-transform"}, {"Content-Encoding": "identity"}, {"Vary": "A"}],
)
def test_what_looks_like_a_reason_but_is_none(fields: dict[str, str]) -> None:
    assert coding(exchange(Response(200, {**HTML, **fields}, PAGE))) == "gzip"


def test_a_client_may_forbid_it() -> None:
    got = exchange(Response(200, HTML, PAGE), get({**ACCEPT, "Cache-Control": "no-transform"}))
    assert coding(got) is None


@pytest.mark.parametrize("status", [200, 201, 203, 302, 403, 404, 500])
def test_every_status_with_a_body(status: int) -> None:
    assert coding(exchange(Response(status, HTML, PAGE))) == "gzip"


@pytest.mark.parametrize(
    ("types", "content_type", "suits"),
    [
        (["text/html"], "TEXT/HTML", True),
        (["text/html"], "text/htm", False),
        (["text/*"], "text/plain;charset=utf-8", True),
        (["text/*"], "texts/plain", False),
        (["*+json"], "application/vnd.api+json", True),
        (["*+json"], "application/json", False),
        (["*/*"], "application/octet-stream", True),
        (["*/*"], "", False),
        (None, "application/json", True),
        (None, "application/problem+json", True),
        (None, "image/svg+xml", True),
        (None, "image/jpeg", False),
        (None, "application/zip", False),
        (None, "multipart/byteranges; boundary=x", False),
    ],
)
def test_types(types: list[str] | None, content_type: str, suits: bool) -> None:
    options = {"types": types} if types else {}
    got = exchange(Response(200, {"Content-Type": content_type}, PAGE), options=options)
    assert (coding(got) == "gzip") is suits


def test_an_empty_body_stays_empty() -> None:
    got = exchange(Response(200, HTML, b""), options={"min_size": "0B"})
    assert (got.content, coding(got)) == (b"", None)


def test_the_smallest_body() -> None:
    options = {"min_size": "100B"}
    assert coding(exchange(Response(200, HTML, PAGE[:99]), options=options)) is None
    assert coding(exchange(Response(200, HTML, PAGE[:100]), options=options)) == "gzip"


# -- the tags of conditional requests ------------------------------------------------------------


def conditional(asked: Request) -> Response:
    """A server with one page."""
    tag = '"1"'
    if tag in asked.fields.get("If-None-Match", ""):
        return Response(304, {"ETag": tag})
    return Response(200, {**HTML, "ETag": tag}, PAGE)


def test_the_weak_tag_is_forwarded_and_returned() -> None:
    with SimulatedHttp(answer=conditional, options=read(compression={})) as proxy:
        first = proxy.send(get())
        again = proxy.send(get({**ACCEPT, "If-None-Match": first.fields["ETag"]}))
        plain = proxy.send(get({"If-None-Match": '"1"'}))
        asked = proxy.received()
    assert asked[1].fields["If-None-Match"] == 'W/"1"'
    assert (again.status, again.fields["ETag"]) == (304, 'W/"1"')
    assert again.fields["Vary"] == "Accept-Encoding"
    assert (plain.status, plain.fields["ETag"]) == (304, '"1"')
    assert "Vary" not in plain.fields


@pytest.mark.parametrize(("tag", "weak"), [('W/"1"', 'W/"1"'), ("1", None), ('"a" "b"', None)])
def test_tags_that_are_weak_or_none_at_all(tag: str, weak: str | None) -> None:
    assert exchange(Response(200, {**HTML, "ETag": tag}, PAGE)).fields.get("ETag") == weak


def test_head_has_the_fields_of_get() -> None:
    reply = Response(200, {**HTML, "ETag": '"1"'}, PAGE)
    got = exchange(reply, get(method="HEAD"))
    assert (coding(got), got.fields["ETag"]) == ("gzip", 'W/"1"')
    assert got.fields["Vary"] == "Accept-Encoding"
    assert "Content-Length" not in got.fields
    small = Response(200, HTML, PAGE[:1023])
    got = exchange(small, get(method="HEAD"))
    assert (coding(got), got.fields["Content-Length"]) == (None, "1023")


# -- whose body it is ----------------------------------------------------------------------------


def test_responses_of_the_proxy_itself() -> None:
    options = read(
        compression={},
        routes=[{"path": "/long", "answer": {"body": PAGE.decode()}}, {"answer": {"body": "x"}}],
    )
    with SimulatedHttp(options=options) as proxy:
        long = proxy.send(Request("GET", "/long", ACCEPT, host="a"))
        head = proxy.send(Request("HEAD", "/long", ACCEPT, host="a"))
        short = proxy.send(Request("GET", "/", ACCEPT, host="a"))
    assert gzip.decompress(long.content) == PAGE
    assert head.fields["Content-Length"] == str(len(long.content))
    assert (short.content, coding(short)) == (b"x", None)


def test_a_large_response_of_a_filter_is_sent_as_it_is() -> None:
    class Large(Filter):
        def request_head(self, tx: Transaction) -> Response:
            return Response(200, HTML, bytes(LARGEST_WHOLE + 1))

    got = exchange(Response(200), filters=[Large()])
    assert coding(got) is None


class Upper(Filter):
    """Changes each piece."""

    def response_chunk(self, tx: Transaction, data: bytes) -> bytes:
        return data.upper()


class WholeUpper(Filter):
    """Changes the body."""

    body_limit = "2MiB"

    def response_body(self, tx: Transaction, body: bytes) -> bytes:
        return body.upper()


@pytest.mark.parametrize("made", [Upper, WholeUpper])
@pytest.mark.parametrize("times", [1, 500])
def test_a_body_that_a_filter_changes_is_compressed_after_it(
    made: type[Filter], times: int
) -> None:
    reply = Response(200, {**HTML, "ETag": '"1"'}, PAGE * times)
    got = exchange(reply, filters=[made()])
    assert gzip.decompress(got.content) == PAGE.upper() * times
    assert coding(got) == "gzip"
    assert "ETag" not in got.fields, "a changed body has no tag, weak or not"


def test_the_server_need_not_be_told_what_the_client_accepts() -> None:
    class Untold(Filter):
        def request_head(self, tx: Transaction) -> None:
            del tx.request.fields["Accept-Encoding"]

    assert coding(exchange(Response(200, HTML, PAGE), filters=[Untold()])) == "gzip"


def test_of_a_route() -> None:
    routes = [{"path": "/a", "compression": {}}, {}]
    given = read(routes=routes)
    with SimulatedHttp(answer=lambda _: Response(200, HTML, PAGE), options=given) as proxy:
        assert coding(proxy.send(Request("GET", "/a", ACCEPT, host="a"))) == "gzip"
        assert coding(proxy.send(Request("GET", "/b", ACCEPT, host="a"))) is None


# -- how it is sent ------------------------------------------------------------------------------


def parsed(data: bytes) -> tuple[Response, bytes]:
    """Return the response in what a client has received, with its body, and the rest."""
    end = head_end(data, LIMITS)
    response = parse_response(data[:end], LIMITS, "GET")
    reader = body_reader(response.body, LIMITS, 502)
    response.content = reader.feed(data[end:])
    assert reader.over
    return response, reader.rest


GET = request("GET", "/", "Accept-Encoding: gzip")
TYPE = "Content-Type: text/html"


class Decoded:
    """What a client has decoded of a chunked response."""

    def __init__(self, data: bytes) -> None:
        self.head, _, rest = data.partition(b"\r\n\r\n")
        body = b""
        while rest:
            size, _, rest = rest.partition(b"\r\n")
            body, rest = body + rest[: int(size, 16)], rest[int(size, 16) + 2 :]
        decoder = zlib.decompressobj(31)
        self.body = decoder.decompress(body)
        self.complete = decoder.eof


@pytest.mark.parametrize("kind", ["text/html", "text/event-stream"])
def test_a_stream_is_sent_piece_by_piece(kind: str) -> None:
    with Http(options=read(compression={}, forwarded="off")) as proxy:
        client = proxy.send(GET)
        proxy.go()
        (server,) = proxy.peers()
        server.send(
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Type: %b\r\n\r\n"
            % kind.encode()
        )
        proxy.go()
        assert b"\r\nContent-Encoding: gzip\r\n" in client.received, "the head is not delayed"
        seen = b""
        for event in (b"data: 1\n\n", b"data: 2\n\n", b"x" * 20_000):
            server.send(chunks(event)[:-5])
            proxy.go()
            seen += event
            got = Decoded(bytes(client.received))
            assert (got.body, got.complete) == (seen, False)
        server.send(b"0\r\n\r\n")
        proxy.go()
        assert Decoded(bytes(client.received)).complete


def test_a_slow_body_of_known_length_is_not_held_back() -> None:
    with Http(options=read(compression={}, forwarded="off")) as proxy:
        client = proxy.send(GET)
        proxy.go()
        (server,) = proxy.peers()
        server.send(answer(PAGE * 1000, TYPE)[: -len(PAGE) * 999])
        proxy.go()
        assert Decoded(bytes(client.received)).body == PAGE
        server.send(PAGE * 999)
        proxy.elapse(1)
        assert Decoded(bytes(client.received)).complete


def test_a_body_that_ends_with_the_connection() -> None:
    with Http(options=read(compression={}, forwarded="off")) as proxy:
        client = proxy.send(GET)
        proxy.go()
        (server,) = proxy.peers()
        server.send(b"HTTP/1.0 200 OK\r\n%b\r\n\r\n%b" % (TYPE.encode(), PAGE))
        server.end()
        proxy.go()
        got = Decoded(bytes(client.received))
        assert (got.body, got.complete) == (PAGE, True)


@pytest.mark.parametrize("cut", [100, 20_000])
def test_a_body_that_is_cut_is_cut_for_the_client_too(cut: int) -> None:
    with Http(options=read(compression={}, forwarded="off")) as proxy:
        client = proxy.send(GET)
        proxy.go()
        (server,) = proxy.peers()
        server.send(answer(PAGE * 100, TYPE)[:cut])
        proxy.go()
        server.end()
        proxy.go()
        assert client.reset_seen
        assert not Decoded(bytes(client.received)).complete


def test_a_client_of_http_1_0_gets_the_page_as_it_is() -> None:
    with Http(options=read(compression={}, forwarded="off")) as proxy:
        client = proxy.send(b"GET / HTTP/1.0\r\nAccept-Encoding: gzip\r\n\r\n")
        proxy.go()
        (server,) = proxy.peers()
        server.send(answer(PAGE, TYPE))
        proxy.go()
        assert bytes(client.received).endswith(PAGE)
        assert b"\r\nVary: Accept-Encoding\r\n" in client.received


@given(
    coding=st.sampled_from(list(CODINGS)),
    chunked=st.booleans(),
    kind=st.sampled_from(["text/plain", "text/event-stream"]),
    pieces=st.lists(st.tuples(st.integers(1, 40_000), st.booleans()), min_size=1, max_size=4),
    seed=st.integers(0, 9),
)
@settings(max_examples=30, deadline=None)
def test_whatever_the_pieces_the_body_arrives(
    coding: str, chunked: bool, kind: str, pieces: list[tuple[int, bool]], seed: int
) -> None:
    """Each piece is sent by the server on its own or with the next one; each request has another
    response on the same connection."""
    options = read(compression={"codings": [coding], "min_size": "1B"}, forwarded="off")
    text = Random(seed).choices(["one", "two", "three"], k=20_000)
    parts = [" ".join(text)[:size].encode() for size, _ in pieces]
    body = b"".join(parts)
    with Http(options=options) as proxy:
        client = proxy.client()
        for _ in range(2):
            client.received.clear()
            client.send(request("GET", "/", f"Accept-Encoding: {coding}"))
            proxy.go()
            (server,) = proxy.peers()
            framing = "Transfer-Encoding: chunked" if chunked else f"Content-Length: {len(body)}"
            waiting = f"HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\n{framing}\r\n\r\n".encode()
            for part, (_, at_once) in zip(parts, pieces, strict=True):
                waiting += chunks(part)[:-5] if chunked else part
                if at_once:
                    server.send(waiting)
                    waiting = b""
                    proxy.go()
            server.send(waiting + (b"0\r\n\r\n" if chunked else b""))
            proxy.elapse(0.1)
            response, rest = parsed(bytes(client.received))
            assert rest == b""
            assert response.fields["Content-Encoding"] == coding
            decoded = decoder(coding)(response.content)
            assert decoded == body


# -- the memory ----------------------------------------------------------------------------------


def test_the_memory_is_bounded_and_returned() -> None:
    # room for two compressors of gzip
    options = read(compression={"memory": "512KiB"}, forwarded="off")
    began = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n%b\r\n\r\n" % TYPE.encode()
    with Http(options=options) as proxy:
        clients = [proxy.client() for _ in range(4)]
        for number, client in enumerate(clients[:3]):
            client.send(GET)
            proxy.go()
            proxy.peers()[number].send(began)
            proxy.go()
        coded = [b"Content-Encoding" in client.received for client in clients[:3]]
        assert coded == [True, True, False]
        assert b"\r\nVary: Accept-Encoding\r\n" in clients[2].received
        clients[0].reset()
        proxy.go()
        clients[3].send(GET)
        proxy.go()
        proxy.peers()[-1].send(began)
        proxy.go()
        assert b"Content-Encoding: gzip" in clients[3].received


# -- the configuration ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "error"),
    [
        (
            {"levels": {"gzip": 7}},
            "compression: level 7 of gzip: the highest is 6, as more would stop all other "
            "connections for too long",
        ),
        ({"levels": {"br": 1}}, "compression: levels has br, which is not in codings"),
        ({"codings": ["gzip", "gzip"]}, "compression: codings has one twice"),
        (
            {"types": ["HTML"]},
            'compression.types.0: "HTML" is not a type: write it in lower case, as "text/html", '
            '"text/*" or "*+json"',
        ),
    ],
)
def test_what_is_refused(options: dict[str, object], error: str) -> None:
    assert refused(compression=options) == [error]


def test_a_library_that_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(type(CODINGS["br"]), "missing", lambda self: self.library == "brotli")
    assert refused(compression={"codings": ["br"]}) == [
        "compression: br needs the library brotli: pip install '.[compression]' in the checkout"
    ]


def test_pieces_of_a_tunnel_are_not_larger() -> None:
    from vcproxy.tunnels.one_way import CHUNK as OF_TUNNELS

    assert CHUNK == OF_TUNNELS
