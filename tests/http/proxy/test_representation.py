"""Fields that describe a body are removed when a filter changes it."""

from __future__ import annotations

import pytest

from vcproxy.drivers.sim import Peer
from vcproxy.http.filters import Filter
from vcproxy.http.proxy.transaction import Transaction

from .harness import GET, Http, answer, chunks, received, request

SAID = (
    'ETag: "7"', "Content-MD5: x", "Digest: md5=x", "Content-Digest: md5=:x:",
    "Repr-Digest: md5=:x:", "X: 1",
)  # fmt: skip
HEAD = request("HEAD")


class Whole(Filter):
    def request_body(self, tx: Transaction, body: bytes) -> bytes:
        return body.replace(b"old", b"new")

    def response_body(self, tx: Transaction, body: bytes) -> bytes:
        return body.replace(b"old", b"new")


class Pieces(Filter):
    def request_chunk(self, tx: Transaction, data: bytes) -> bytes:
        return data.replace(b"old", b"new")

    def response_chunk(self, tx: Transaction, data: bytes) -> bytes:
        return data.replace(b"old", b"new")


class Tagging(Whole):
    def response_head(self, tx: Transaction) -> None:
        tx.response.fields["ETag"] = '"mine"'


class Observing(Filter):
    def response_body(self, tx: Transaction, body: bytes) -> None: ...


def result(kind: type[Filter] | None, sent: bytes, reply: bytes) -> str:
    """What a client gets."""
    with Http(filters=[kind] if kind else []) as proxy:
        client = proxy.send(sent)
        server = proxy.server()
        server.send(reply)
        proxy.go()
        return received(client)


def names(head: str) -> set[str]:
    """The fields of a head that describe a body."""
    lines = head.partition("\n\n")[0].split("\n")[1:]
    return {line.partition(":")[0] for line in lines} - {"X", "Via"}


def unframed(reply: bytes) -> bytes:
    """The same answer without its length."""
    return reply.replace(b"Content-Length: 0\r\n", b"")


EVERY = {line.partition(":")[0] for line in SAID} - {"X"}


@pytest.mark.parametrize("kind", [Whole, Pieces])
def test_a_body_that_is_changed_has_another_description(kind: type[Filter]) -> None:
    text = result(kind, GET, answer(b"old", *SAID))
    assert "new" in text
    assert "\nX: 1\n" in text
    assert names(text) <= {"Content-Length", "Transfer-Encoding"}


@pytest.mark.parametrize("kind", [Whole, Pieces])
@pytest.mark.parametrize(
    ("sent", "reply"),
    [
        (HEAD, answer(b"", *SAID).replace(b"Length: 0", b"Length: 3")),
        (GET, b"\r\n".join([b"HTTP/1.1 304 No", *[each.encode() for each in SAID], b"", b""])),
        (GET, answer(b"", *SAID, status="304 No").replace(b"Length: 0", b"Length: 3")),
        (HEAD, unframed(answer(b"", *SAID, "Transfer-Encoding: chunked"))),
    ],
)
def test_head_and_304_describe_no_other_body(kind: type[Filter], sent: bytes, reply: bytes) -> None:
    assert names(result(kind, sent, reply)) == set()
    kept = names(result(None, sent, reply)) - {"Content-Length"}
    assert kept == EVERY


def test_a_body_that_is_not_changed_keeps_its_description() -> None:
    for kind in (Whole, Observing):
        assert names(result(kind, GET, answer(b"same", *SAID))) == EVERY | {"Content-Length"}


@pytest.mark.parametrize("sent", [GET, HEAD])
def test_a_digest_that_a_filter_sets_stays(sent: bytes) -> None:
    text = result(Tagging, sent, answer(b"old" if sent == GET else b"", *SAID))
    assert '\nETag: "mine"\n' in text
    assert names(text) - {"Content-Length"} == {"ETag"}


def test_a_204_keeps_its_etag() -> None:
    reply = b'HTTP/1.1 204 No\r\nETag: "7"\r\n\r\n'
    for kind in (Whole, Pieces):
        assert names(result(kind, request("PUT", "/", body=b"same"), reply)) == {"ETag"}


def test_trailers_that_describe_another_body() -> None:
    reply = unframed(answer(b"", "Transfer-Encoding: chunked"))
    reply += chunks(b"old", trailers="Repr-Digest: md5=:x:\r\nX-Sum: 1\r\n")
    assert result(Pieces, GET, reply).endswith("\n3\nnew\n0\nX-Sum: 1\n\n")
    assert "Repr-Digest" in result(None, GET, reply)


@pytest.mark.parametrize(
    ("kind", "body", "kept"),
    [(Whole, b"old", False), (Whole, b"same", True), (Pieces, b"old", False), (None, b"old", True)],
)
def test_a_request_body_that_is_changed_loses_its_description(
    kind: type[Filter] | None, body: bytes, kept: bool
) -> None:
    with Http(filters=[kind] if kind else []) as proxy:
        proxy.send(request("POST", "/", "Content-Digest: md5=:x:", "X: 1", body=body))
        server: Peer = proxy.server()
        proxy.go()
        text = received(server)
        assert ("Content-Digest" in text) is kept
        assert "\nX: 1\n" in text
