"""How requests follow one another on a connection, and when it ends."""

from __future__ import annotations

from tests.http.corpus.case import (
    HOST,
    Got,
    Theme,
    accepted,
    chunked,
    dropped,
    get,
    message,
    post,
    refused,
)

HELLO = Got("POST", body=b"hello")

OLD = (
    accepted("1.0-with-host", "9112 C.1", message("GET / HTTP/1.0", HOST), kept=False),
    accepted(
        "1.0-kept",
        "9112 C.2.2",
        message("GET / HTTP/1.0", HOST, "Connection: keep-alive"),
    ),
    accepted(
        "1.0-kept-in-capitals",
        "9112 C.2.2",
        message("GET / HTTP/1.0", HOST, "Connection: Keep-Alive"),
    ),
    accepted(
        "1.0-kept-and-closed",
        "9112 9.3",
        message("GET / HTTP/1.0", HOST, "Connection: keep-alive, close"),
        kept=False,
    ),
    accepted(
        "1.0-with-length",
        "9112 6.3",
        message("POST / HTTP/1.0", HOST, "Content-Length: 5", body="hello"),
        HELLO,
        kept=False,
    ),
    accepted(
        "1.0-with-more-behind-is-answered-once",
        "9112 9.3",
        message("GET / HTTP/1.0", HOST) + get(),
        kept=False,
    ),
    accepted("1.0-head", "9110 9.3.2", message("HEAD / HTTP/1.0", HOST), Got("HEAD"), kept=False),
)

PIPELINES = (
    accepted(
        "two-gets",
        "9112 9.3.2",
        message("GET /1 HTTP/1.1", HOST) + message("GET /2 HTTP/1.1", HOST),
        Got(target="/1"),
        Got(target="/2"),
    ),
    accepted(
        "five-gets",
        "9112 9.3.2",
        b"".join(message(f"GET /{n} HTTP/1.1", HOST) for n in range(5)),
        *(Got(target=f"/{n}") for n in range(5)),
    ),
    accepted("post-then-get", "9112 9.3.2", post("Content-Length: 5") + get(), HELLO, Got()),
    accepted(
        "chunks-then-get",
        "9112 9.3.2",
        chunked("5\r\nhello\r\n0\r\n\r\n") + get(),
        HELLO,
        Got(),
    ),
    accepted(
        "trailers-then-get",
        "9112 9.3.2",
        chunked("5\r\nhello\r\n0\r\nX-Sum: 1\r\n\r\n") + get(),
        HELLO,
        Got(),
    ),
    accepted(
        "get-with-body-then-get",
        "9112 9.3.2",
        get("Content-Length: 5") + b"hello" + get(),
        Got(body=b"hello"),
        Got(),
    ),
    accepted(
        "head-then-get", "9112 9.3.2", message("HEAD / HTTP/1.1", HOST) + get(), Got("HEAD"), Got()
    ),
    accepted(
        "two-posts",
        "9112 9.3.2",
        post("Content-Length: 1", body="a") + post("Content-Length: 1", body="b"),
        Got("POST", body=b"a"),
        Got("POST", body=b"b"),
    ),
    accepted(
        "expect-then-get",
        "9110 10.1.1",
        post("Expect: 100-continue", "Content-Length: 5") + get(),
        HELLO,
        Got(),
    ),
    accepted(
        "empty-line-between-requests",
        "9112 2.2",
        post("Content-Length: 5") + b"\r\n" + get(),
        HELLO,
        Got(),
    ),
    accepted("close-then-get", "9112 9.6", get("Connection: close") + get(), kept=False),
    accepted(
        "bytes-behind-the-length-are-the-next-request",
        "9112 6.2",
        post("Content-Length: 3") + b"\r\n\r\n",
        Got("POST", body=b"hel"),
        then=400,
    ),
    accepted("get-then-garbage", "9112 2.2", get() + b"garbage\r\n\r\n", then=400),
    accepted("get-then-two-empty-lines", "9112 2.2", get() + b"\r\n\r\n" + get(), then=400),
    accepted("get-then-no-host", "9112 3.2", get() + b"GET / HTTP/1.1\r\n\r\n", then=400),
    accepted(
        "get-then-two-framings",
        "9112 6.1",
        get() + chunked("0\r\n\r\n", "Content-Length: 5"),
        then=400,
    ),
    accepted(
        "get-without-length-then-its-body",
        "9112 6.3",
        get() + b"5\r\nhello\r\n0\r\n\r\n",
        then=400,
    ),
    refused("garbage-then-get", "9112 2.2", b"garbage\r\n\r\n" + get()),
    refused("two-framings-then-get", "9112 6.1", chunked("0\r\n\r\n", "Content-Length: 5") + get()),
    refused("no-host-then-get", "9112 3.2", b"GET / HTTP/1.1\r\n\r\n" + get()),
    refused(
        "connect-then-get",
        "9110 9.3.6",
        message("CONNECT a.example:443 HTTP/1.1", HOST) + get(),
        403,
    ),
    dropped("end-within-the-request-line", "9112 8", b"GET / HT"),
    dropped("end-within-a-field", "9112 8", b"GET / HTTP/1.1\r\nHost: a.exa"),
    dropped("end-before-the-empty-line", "9112 8", b"GET / HTTP/1.1\r\nHost: a.example\r\n"),
    dropped("end-within-the-empty-line", "9112 8", b"GET / HTTP/1.1\r\nHost: a.example\r\n\r"),
)

THEMES = (
    Theme("HTTP/1.0", "answered and closed, unless it has keep-alive", OLD),
    Theme(
        "Pipelined requests",
        "answered in order; nothing is read after the first refused one",
        PIPELINES,
    ),
)
