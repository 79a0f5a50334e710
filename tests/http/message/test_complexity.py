"""Complexity: the time is proportional to the size of a message, received in any pieces."""

from __future__ import annotations

from collections.abc import Callable
from time import process_time

import pytest

from tests.http.message.reading import one_by_one, read
from vcproxy.http.message.client_fields import ClientFields
from vcproxy.http.message.forwarding import to_server
from vcproxy.http.message.limits import MessageLimits
from vcproxy.http.message.messages import Request

WIDE = MessageLimits(
    head=1 << 20,
    line=1 << 20,
    field=1 << 20,
    fields=1 << 16,
    trailers=1 << 20,
    trailer_fields=1 << 16,
)
SENDER = ClientFields("192.0.2.1", secure=False)
START = b"POST / HTTP/1.1\r\nHost: a\r\n"
CHUNKED = START + b"Transfer-Encoding: chunked\r\n\r\n"

Make = Callable[[int], list[bytes]]

SHAPES: dict[str, Make] = {
    "fields": lambda n: [START + b"A: b\r\n" * n + b"\r\n"],
    "fields of rare shape": lambda n: [START + b"A:b\r\n" * n + b"\r\n"],
    "fields with white space": lambda n: [
        START + b"A:" + b" \t" * n + b"x" + b" " * n + b"\r\n\r\n"
    ],
    "forwarded fields": lambda n: [START + b"X-Forwarded-For: a\r\n" * n + b"\r\n"],
    "kinds of forwarding": lambda n: [
        START + b"".join(b"X-Forwarded-%b: b\r\n" % letters(each) for each in range(n)) + b"\r\n"
    ],
    "names with underscores": lambda n: [
        START
        + b"".join(b"x_%b: b\r\nx-%b: b\r\n" % ((letters(each),) * 2) for each in range(n))
        + b"\r\n"
    ],
    "options in Connection": lambda n: [START + b"Connection: a" + b",b" * n + b"\r\n\r\n"],
    "lines that break": lambda n: [START + b"A: b\r\n" * n + b"A : b\r\n\r\n"],
    "target": lambda n: [b"GET /%b HTTP/1.1\r\nHost: a\r\n\r\n" % (b"a" * n)],
    "bytes of a head": lambda n: one_by_one(START + b"A: b\r\n" * (n // 6) + b"\r\n"),
    "chunks": lambda n: [CHUNKED + b"1\r\nx\r\n" * n + b"0\r\n\r\n"],
    "bytes of chunks": lambda n: one_by_one(CHUNKED + b"1\r\nx\r\n" * (n // 6) + b"0\r\n\r\n"),
    "bytes of extensions": lambda n: one_by_one(
        CHUNKED + (b"1;%b\r\nx\r\n" % (b"e" * 200)) * (n // 200) + b"0\r\n\r\n"
    ),
    "trailers": lambda n: [CHUNKED + b"0\r\n" + b"A: b\r\n" * n + b"\r\n"],
    "bytes of trailers": lambda n: one_by_one(CHUNKED + b"0\r\n" + b"A:b\r\n" * (n // 5) + b"\r\n"),
}


def letters(number: int) -> bytes:
    """Return a name that is unique for the number."""
    return str(number).translate(str.maketrans("0123456789", "abcdefghij")).encode()


def cost(pieces: list[bytes]) -> float:
    """CPU seconds to read the message and to serialize its head: the minimum of three tries."""
    tries = []
    for _ in range(3):
        before = process_time()
        head = read(pieces, limits=WIDE).head
        if isinstance(head, Request):
            to_server(head, SENDER)
        tries.append(process_time() - before)
    return min(tries)


@pytest.mark.parametrize("shape", SHAPES)
def test_cost_is_linear(shape: str) -> None:
    make = SHAPES[shape]
    small, large = (cost(make(size)) for size in (2000, 16000))
    # linear: 8 times, quadratic: 64 times; the limit allows for noise and a constant part
    assert large < 24 * max(small, 100e-6), f"{small:.6f} s and, for 8 times as much, {large:.6f} s"


@pytest.mark.parametrize("shape", SHAPES)
def test_32_kib_of_anything_cost_little(shape: str) -> None:
    size = sum(map(len, SHAPES[shape](2000))) / 2000
    pieces = SHAPES[shape](int((32 << 10) / size))
    assert cost(pieces) < 0.1  # measured: at most 20 ms; more on a busy machine
