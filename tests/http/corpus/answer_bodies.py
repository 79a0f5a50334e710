"""Framing of the bodies of answers."""

from __future__ import annotations

from tests.http.corpus.case import HOST, Relayed, Theme, bad_gateway, message, ok, relayed

CHUNKED = "Transfer-Encoding: chunked"
CHUNKS = "5\r\nhello\r\n0\r\n\r\n"
LENGTH = "Content-Length: 5"
EVIL = ok("Content-Length: 4", body="evil")
LAST = "0\r\n\r\n"

FRAMING = (
    relayed("answer-chunked", "9112 7.1", ok(CHUNKED, body=CHUNKS)),
    relayed("answer-chunked-in-capitals", "9112 7", ok("TRANSFER-ENCODING: CHUNKED", body=CHUNKS)),
    relayed(
        "answer-of-two-chunks", "9112 7.1", ok(CHUNKED, body="2\r\nhe\r\n3;a=b\r\nllo\r\n" + LAST)
    ),
    relayed("answer-of-no-chunk", "9112 7.1", ok(CHUNKED, body=LAST), Relayed(body=b"")),
    relayed(
        "answer-with-trailer",
        "9112 7.1.2",
        ok(CHUNKED, "Trailer: X-Sum", body="5\r\nhello\r\n0\r\nX-Sum: 1\r\n\r\n"),
    ),
    relayed(
        "answer-with-trailer-of-length",
        "9110 6.5.1",
        ok(CHUNKED, body="5\r\nhello\r\n0\r\nContent-Length: 9\r\n\r\n"),
        Relayed(lacks=("Content-Length: 9",)),
    ),
    relayed(
        "answer-chunked-for-1.0",
        "9112 7.1",
        ok(CHUNKED, body=CHUNKS),
        Relayed(kept=False, lacks=("Transfer-Encoding",)),
        request=message("GET / HTTP/1.0", HOST),
    ),
    relayed(
        "answer-with-trailer-for-1.0",
        "9112 7.1",
        ok(CHUNKED, body="5\r\nhello\r\n0\r\nX-Sum: 1\r\n\r\n"),
        Relayed(kept=False, lacks=("Transfer-Encoding",)),
        request=message("GET / HTTP/1.0", HOST),
    ),
    relayed(
        "answer-with-length-for-kept-1.0",
        "9112 C.2.2",
        ok(LENGTH, body="hello"),
        Relayed(has=("Connection: keep-alive",)),
        request=message("GET / HTTP/1.0", HOST, "Connection: keep-alive"),
    ),
    relayed(
        "answer-until-the-end", "9112 6.3", ok(body="hello"), Relayed(reused=False), then="end"
    ),
    relayed(
        "answer-empty-until-the-end", "9112 6.3", ok(), Relayed(body=b"", reused=False), then="end"
    ),
    relayed(
        "answer-until-the-end-for-1.0",
        "9112 6.3",
        ok(body="hello"),
        Relayed(reused=False, kept=False),
        request=message("GET / HTTP/1.0", HOST, "Connection: keep-alive"),
        then="end",
    ),
    relayed(
        "answer-of-1.0-until-the-end",
        "9112 6.3",
        message("HTTP/1.0 200 OK", body="hello"),
        Relayed(reused=False),
        then="end",
    ),
    relayed("answer-with-length-0", "9112 6.2", ok("Content-Length: 0"), Relayed(body=b"")),
    relayed("answer-length-with-zeros", "9110 8.6", ok("Content-Length: 005", body="hello")),
    relayed(
        "answer-205-with-length-0",
        "9110 15.3.6",
        message("HTTP/1.1 205 Reset", "Content-Length: 0"),
        Relayed(205, b""),
    ),
    relayed(
        "answer-of-100-KB",
        "9112 6.2",
        ok("Content-Length: 100000", body="b" * 100_000),
        Relayed(body=b"b" * 100_000),
    ),
    relayed(
        "answer-that-looks-like-two",
        "9112 6.2",
        ok(f"Content-Length: {len(EVIL)}", body=EVIL.decode()),
        Relayed(body=EVIL),
    ),
    bad_gateway("answer-length-and-coding", "9112 6.3", ok(LENGTH, CHUNKED, body=CHUNKS)),
    bad_gateway(
        "answer-coding-and-length", "9112 6.3", ok(CHUNKED, "Content-Length: 15", body=CHUNKS)
    ),
    bad_gateway("answer-two-lengths", "9112 6.3", ok(LENGTH, "Content-Length: 6", body="hello")),
    bad_gateway("answer-length-twice", "9112 6.3", ok(LENGTH, LENGTH, body="hello")),
    bad_gateway("answer-length-list", "9112 6.3", ok("Content-Length: 5, 6", body="hello")),
    bad_gateway("answer-length-empty", "9112 6.3", ok("Content-Length:", body="hello")),
    bad_gateway("answer-length-negative", "9112 6.3", ok("Content-Length: -5", body="hello")),
    bad_gateway("answer-length-with-plus", "9112 6.3", ok("Content-Length: +5", body="hello")),
    bad_gateway("answer-length-in-hex", "9112 6.3", ok("Content-Length: 0x5", body="hello")),
    bad_gateway("answer-length-in-letters", "9112 6.3", ok("Content-Length: five", body="hello")),
    bad_gateway("answer-length-with-fraction", "9112 6.3", ok("Content-Length: 5.0", body="hello")),
    bad_gateway("answer-length-in-superscript", "9112 6.3", ok("Content-Length: \xb2", body="hi")),
    bad_gateway(
        "answer-length-of-2-to-64",
        "9112 6.3",
        ok("Content-Length: 18446744073709551621", body="hello"),
    ),
    bad_gateway(
        "answer-length-behind-vertical-tab", "9110 5.5", ok("Content-Length: \x0b5", body="hello")
    ),
    bad_gateway(
        "answer-length-bad-of-head", "9112 6.3", message("HTTP/1.1 204 No", "Content-Length: x")
    ),
    bad_gateway(
        "answer-coding-unknown", "9112 6.1", ok("Transfer-Encoding: cow", body="hello"), then="end"
    ),
    bad_gateway(
        "answer-coding-gzip-chunked",
        "9112 6.1",
        ok("Transfer-Encoding: gzip, chunked", body=CHUNKS),
    ),
    bad_gateway(
        "answer-coding-chunked-gzip",
        "9112 6.3",
        ok("Transfer-Encoding: chunked, gzip", body=CHUNKS),
        then="end",
    ),
    bad_gateway(
        "answer-coding-identity", "9112 7", ok("Transfer-Encoding: identity", LENGTH, body="hello")
    ),
    bad_gateway("answer-coding-empty", "9112 6.1", ok("Transfer-Encoding:", body=CHUNKS)),
    bad_gateway("answer-coding-twice", "9112 6.1", ok(CHUNKED, CHUNKED, body=CHUNKS)),
    bad_gateway(
        "answer-coding-behind-vertical-tab",
        "9110 5.5",
        ok("Transfer-Encoding: \x0bchunked", body=CHUNKS),
    ),
    bad_gateway(
        "answer-coding-in-1.0",
        "9112 6.1",
        message("HTTP/1.0 200 OK", CHUNKED, body=CHUNKS),
        then="end",
    ),
)

THEMES = (
    Theme("Framing of responses", "RFC 9112 6.3: an invalid length MUST become 502", FRAMING),
)
