"""Responses without a body, whatever their fields announce: 1xx, 204, 304, and responses to
HEAD."""

from __future__ import annotations

from tests.http.corpus.case import HOST, Relayed, Theme, bad_gateway, message, ok, post, relayed

LENGTH = "Content-Length: 5"
HEAD = message("HEAD / HTTP/1.1", HOST)

BODILESS = (
    relayed("204", "9112 6.3", message("HTTP/1.1 204 No Content"), Relayed(204, b"")),
    relayed(
        "204-with-length-0",
        "9110 8.6",
        message("HTTP/1.1 204 No Content", "Content-Length: 0"),
        Relayed(204, b"", lacks=("Content-Length",)),
    ),
    relayed(
        "204-with-a-body",
        "9112 6.3",
        message("HTTP/1.1 204 No Content", LENGTH, body="hello"),
        Relayed(204, b"", reused=False, lacks=("Content-Length",)),
    ),
    relayed(
        "204-with-chunks",
        "9112 6.1",
        message("HTTP/1.1 204 No Content", "Transfer-Encoding: chunked", body="0\r\n\r\n"),
        Relayed(204, b"", reused=False, lacks=("Transfer-Encoding",)),
    ),
    relayed(
        "304",
        "9112 6.3",
        message("HTTP/1.1 304 Not Modified", "ETag: x"),
        Relayed(304, b"", has=("ETag: x",)),
    ),
    relayed(
        "304-with-the-length-it-would-have",
        "9110 8.6",
        message("HTTP/1.1 304 Not Modified", LENGTH),
        Relayed(304, b""),
    ),
    relayed(
        "304-with-the-coding-it-would-have",
        "9112 6.1",
        message("HTTP/1.1 304 Not Modified", "Transfer-Encoding: chunked"),
        Relayed(304, b""),
    ),
    relayed(
        "304-with-a-body",
        "9112 6.3",
        message("HTTP/1.1 304 Not Modified", LENGTH, body="hello"),
        Relayed(304, b"", reused=False),
    ),
    relayed(
        "304-with-an-answer-behind",
        "9112 9.2",
        message("HTTP/1.1 304 Not Modified") + ok("Content-Length: 4", body="evil"),
        Relayed(304, b"", reused=False),
    ),
    relayed("head", "9112 6.3", ok(LENGTH), Relayed(200, b"", has=(LENGTH,)), request=HEAD),
    relayed("head-without-length", "9112 6.3", ok(), Relayed(200, b""), request=HEAD),
    relayed(
        "head-with-coding",
        "9112 6.1",
        ok("Transfer-Encoding: chunked"),
        Relayed(200, b""),
        request=HEAD,
    ),
    relayed(
        "answer-head-with-a-body",
        "9112 6.3",
        ok(LENGTH, body="hello"),
        Relayed(200, b"", reused=False),
        request=HEAD,
    ),
    relayed(
        "head-that-closes",
        "9112 9.6",
        ok("Connection: close"),
        Relayed(200, b"", reused=False),
        request=HEAD,
        then="end",
    ),
    relayed(
        "head-refused",
        "9112 6.3",
        message("HTTP/1.1 404 Not Found", "Content-Length: 9"),
        Relayed(404, b""),
        request=HEAD,
    ),
)

HELLO = ok(LENGTH, body="hello")
INTERIM = (
    relayed(
        "103",
        "8297 2",
        message("HTTP/1.1 103 Early Hints", "Link: </x>") + HELLO,
        Relayed(interim=(103,)),
    ),
    relayed(
        "102-and-103",
        "9110 15.2",
        message("HTTP/1.1 102 Wait") + message("HTTP/1.1 103 Hints") + HELLO,
        Relayed(interim=(102, 103)),
    ),
    relayed(
        "interim-unknown", "9110 15.2", message("HTTP/1.1 199 Hm") + HELLO, Relayed(interim=(199,))
    ),
    relayed(
        "interim-for-1.0-is-dropped",
        "9110 15.2",
        message("HTTP/1.1 103 Early Hints") + HELLO,
        Relayed(kept=False),
        request=message("GET / HTTP/1.0", HOST),
    ),
    relayed(
        "interim-with-length-has-no-body",
        "9112 6.3",
        message("HTTP/1.1 103 Early Hints", LENGTH) + HELLO,
        Relayed(interim=(103,)),
    ),
    relayed(
        "interim-before-204",
        "9110 15.2",
        message("HTTP/1.1 103 Hints") + message("HTTP/1.1 204 No"),
        Relayed(204, b"", interim=(103,)),
    ),
    relayed(
        "interim-before-head",
        "9112 6.3",
        message("HTTP/1.1 103 Hints") + ok(LENGTH),
        Relayed(200, b"", interim=(103,)),
        request=HEAD,
    ),
    relayed(
        "100-asked-for",
        "9110 10.1.1",
        message("HTTP/1.1 100 Continue") + HELLO,
        Relayed(interim=(100,)),
        request=post("Expect: 100-continue", LENGTH),
    ),
    bad_gateway(
        "interim-and-no-more", "9110 15.2", message("HTTP/1.1 103 Early Hints"), then="end"
    ),
    bad_gateway(
        "interim-that-is-broken", "9112 5.1", message("HTTP/1.1 103 Hints", "X-A : 1") + HELLO
    ),
    bad_gateway(
        "101-unasked",
        "9110 15.2.2",
        message("HTTP/1.1 101 Switching Protocols", "Connection: Upgrade", "Upgrade: websocket"),
    ),
    bad_gateway(
        "101-without-anything", "9110 15.2.2", message("HTTP/1.1 101 Switching Protocols") + HELLO
    ),
)

THEMES = (
    Theme(
        "Responses without a body",
        "their bodies are never forwarded, and their connections not reused",
        BODILESS,
    ),
    Theme(
        "Interim responses",
        "forwarded as they arrive, never to HTTP/1.0; 101 only if it was requested",
        INTERIM,
    ),
)
