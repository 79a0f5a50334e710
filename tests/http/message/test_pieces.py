"""Pieces: the result of reading a message does not depend on where it is cut; and a forwarded
message, read and forwarded again, does not change."""

from __future__ import annotations

import random

from hypothesis import given, settings

from tests.http.message import grammars
from tests.http.message.reading import LIMITS, one_by_one, read
from vcproxy.http.message.bad_message import BadMessage
from vcproxy.http.message.body import body_writer
from vcproxy.http.message.client_fields import ClientFields
from vcproxy.http.message.forwarding import to_client, to_server
from vcproxy.http.message.messages import Request, Response

SILENT = ClientFields("", secure=False, pseudonym="", style="off")


@settings(max_examples=300)
@given(grammars.pieces(grammars.mutated(grammars.requests)))
def test_requests(pieces: list[bytes]) -> None:
    whole = read([b"".join(pieces)]).verdict
    assert read(pieces).verdict == whole
    assert read(one_by_one(b"".join(pieces))).verdict == whole


@settings(max_examples=200)
@given(grammars.pieces(grammars.mutated(grammars.responses)))
def test_responses(pieces: list[bytes]) -> None:
    whole = read([b"".join(pieces)], "GET").verdict
    assert read(pieces, "GET").verdict == whole
    assert read(one_by_one(b"".join(pieces)), "GET").verdict == whole


SEEDS = [
    b"POST /a HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: chunked\r\nA:b\r\n\r\n"
    b"5;a=b\r\nhello\r\n6\r\n world\r\n0\r\nDigest: x\r\n\r\n",
    b"PUT http://a.example/b HTTP/1.1\r\nHost: a.example\r\nContent-Length: 5\r\n"
    b"Connection: close, X\r\nX: y\r\nExpect: 100-continue\r\n\r\nhello",
    b"GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nA:\tb \r\n\r\n1\r\nx\r\n0\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nSet-Cookie: a=b\r\n\r\nhello",
    b"HTTP/1.0 404\r\n\r\nhello",
]


def sent_on(data: bytes) -> bytes | None:
    """The message as it is forwarded; None if it is refused or incomplete."""
    seen = read([data], "GET" if data.startswith(b"HTTP") else None)
    head = seen.head
    if (
        head is None
        or seen.refused
        or not seen.over
        or (isinstance(head, Request) and not head.host)
    ):
        return None
    writer = body_writer(head.body)
    wire = to_server(head, SILENT) if isinstance(head, Request) else _answered(head)
    return wire + writer.frame(seen.body) + writer.finish(seen.trailers)


def _answered(head: Response) -> bytes:
    return to_client(head, pseudonym="", keep=head.persistent, body=head.body)


def test_mutations() -> None:
    chance, taken = random.Random(6), 0
    for round_ in range(6000):
        data = bytearray(SEEDS[round_ % len(SEEDS)])
        for _ in range(chance.randint(1, 3)):
            at = chance.randrange(len(data))
            verb = chance.randrange(4)
            if verb == 0:
                data[at] = chance.randrange(256)
            elif verb == 1:
                del data[at : at + chance.randint(1, 4)]
            elif verb == 2:
                data[at:at] = data[at : at + chance.randint(1, 12)]
            else:
                data[at:at] = chance.choice([b"\r\n", b"\n", b" ", b":", b"0", b";", b"\0", b"\r"])
        once = sent_on(bytes(data))
        if once is not None:
            taken += 1
            assert sent_on(once) == once, bytes(data)
    assert taken > 1000, "most were refused: the mutations are too wild to try anything"


def test_every_refusal_has_a_reason() -> None:
    chance = random.Random(7)
    for _ in range(2000):
        data = bytes(chance.choices(b"GET / HTTP1.:\r\nAb\0\xff", k=40)) + b"\r\n\r\n"
        refused = read([data]).refused
        assert isinstance(refused, BadMessage)
        assert refused.why
        assert refused.rfc.startswith("RFC ")
        assert "\n" not in str(refused)
    assert LIMITS.head > 40
