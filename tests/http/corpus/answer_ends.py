"""Ends of answers: truncated answers, early answers, and bytes after an answer."""

from __future__ import annotations

from tests.http.corpus.case import HOST, AnswerCase, Relayed, Theme, cut, message, ok, relayed

CHUNKED = "Transfer-Encoding: chunked"
CHUNKS = "5\r\nhello\r\n0\r\n\r\n"
LENGTH = "Content-Length: 5"
EVIL = ok("Content-Length: 4", body="evil")
LAST = "0\r\n\r\n"


def chunks(name: str, rfc: str, body: str) -> AnswerCase:
    """Invalid chunks: the client must detect that the answer is incomplete."""
    return cut(name, rfc, ok(CHUNKED, body=body))


BROKEN = (
    chunks("answer-size-in-letters", "9112 7.1", "five\r\nhello\r\n" + LAST),
    chunks("answer-size-with-0x", "9112 7.1", "0x5\r\nhello\r\n" + LAST),
    chunks("answer-size-negative", "9112 7.1", "-5\r\nhello\r\n" + LAST),
    chunks("answer-size-empty", "9112 7.1", "\r\nhello\r\n" + LAST),
    chunks("answer-size-of-2-to-64", "9112 7.1", "10000000000000005\r\nhello\r\n" + LAST),
    chunks("answer-size-line-ends-in-lf", "9112 7.1", "5\nhello\r\n" + LAST),
    chunks("answer-data-without-end", "9112 7.1", "5\r\nhello" + LAST),
    chunks("answer-data-ends-in-two-other-bytes", "9112 7.1", "5\r\nhelloXX" + LAST),
    chunks("answer-data-ends-in-lf", "9112 7.1", "5\r\nhello\n" + LAST),
    chunks("answer-second-size-is-broken", "9112 7.1", "5\r\nhello\r\nx\r\n"),
    chunks("answer-extension-with-lf", "9112 7.1.1", "5;a\nb\r\nhello\r\n" + LAST),
    chunks("answer-extension-over-the-limit", "9112 7.1.1", f"5;{'a' * 300}\r\nhello\r\n" + LAST),
    chunks("answer-trailer-without-colon", "9112 7.1.2", "5\r\nhello\r\n0\r\nX-Sum\r\n\r\n"),
    chunks("answer-trailer-with-nul", "9110 5.5", "5\r\nhello\r\n0\r\nX-Sum: \x00\r\n\r\n"),
    chunks(
        "answer-trailers-over-the-limit",
        "9112 7.1.2",
        "5\r\nhello\r\n0\r\n" + "X-Sum: 1\r\n" * 1000 + "\r\n",
    ),
    cut(
        "answer-shorter-than-its-length",
        "9112 8",
        ok("Content-Length: 9", body="hello"),
        then="end",
    ),
    cut("answer-of-no-body-but-length", "9112 8", ok(LENGTH), then="end"),
    cut(
        "answer-with-length-is-reset", "9112 8", ok("Content-Length: 9", body="hello"), then="reset"
    ),
    cut("answer-until-the-end-is-reset", "9112 8", ok(body="hello"), then="reset"),
    cut(
        "answer-ends-before-the-last-chunk",
        "9112 8",
        ok(CHUNKED, body="5\r\nhello\r\n"),
        then="end",
    ),
    cut(
        "answer-ends-behind-the-last-size",
        "9112 8",
        ok(CHUNKED, body="5\r\nhello\r\n0\r\n"),
        then="end",
    ),
    cut("answer-ends-within-a-chunk", "9112 8", ok(CHUNKED, body="5\r\nhel"), then="end"),
    cut("answer-ends-within-a-size", "9112 8", ok(CHUNKED, body="5"), then="end"),
    cut(
        "answer-ends-within-trailers",
        "9112 8",
        ok(CHUNKED, body="5\r\nhello\r\n0\r\nX-Sum: 1\r\n"),
        then="end",
    ),
    cut("answer-in-chunks-is-reset", "9112 8", ok(CHUNKED, body="5\r\nhello\r\n"), then="reset"),
)

BEHIND = (
    relayed(
        "answer-and-another", "9112 9.2", ok(LENGTH, body="hello") + EVIL, Relayed(reused=False)
    ),
    relayed("answer-and-a-byte", "9112 9.2", ok(LENGTH, body="hello!"), Relayed(reused=False)),
    relayed(
        "answer-and-an-empty-line", "9112 9.2", ok(LENGTH, body="hello\r\n"), Relayed(reused=False)
    ),
    relayed(
        "answer-of-chunks-and-another",
        "9112 9.2",
        ok(CHUNKED, body=CHUNKS) + EVIL,
        Relayed(reused=False),
    ),
    relayed(
        "answer-of-chunks-and-an-empty-line",
        "9112 9.2",
        ok(CHUNKED, body=CHUNKS + "\r\n"),
        Relayed(reused=False),
    ),
    relayed(
        "answer-of-length-0-and-a-body",
        "9112 9.2",
        ok("Content-Length: 0", body="evil"),
        Relayed(body=b"", reused=False),
    ),
    relayed(
        "answer-of-head-and-another",
        "9112 9.2",
        ok(LENGTH) + EVIL,
        Relayed(body=b"", reused=False),
        request=message("HEAD / HTTP/1.1", HOST),
    ),
    relayed(
        "204-and-another",
        "9112 9.2",
        message("HTTP/1.1 204 No") + EVIL,
        Relayed(204, b"", reused=False),
    ),
    relayed(
        "answer-and-an-interim",
        "9112 9.2",
        ok(LENGTH, body="hello") + message("HTTP/1.1 103 Hints"),
        Relayed(reused=False),
    ),
    relayed("late-answer", "9112 9.2", ok(LENGTH, body="hello"), Relayed(reused=False), late=EVIL),
    relayed("late-byte", "9112 9.2", ok(LENGTH, body="hello"), Relayed(reused=False), late=b"\n"),
    relayed(
        "late-408",
        "9110 15.5.9",
        ok(LENGTH, body="hello"),
        Relayed(reused=False),
        late=message("HTTP/1.1 408 Timeout", "Connection: close", "Content-Length: 0"),
    ),
    relayed(
        "late-interim",
        "9112 9.2",
        ok(LENGTH, body="hello"),
        Relayed(reused=False),
        late=message("HTTP/1.1 103 Hints"),
    ),
    relayed(
        "end-behind-an-answer",
        "9112 9.5",
        ok(LENGTH, body="hello"),
        Relayed(reused=False),
        then="end",
    ),
    relayed(
        "end-behind-chunks",
        "9112 9.5",
        ok(CHUNKED, body=CHUNKS),
        Relayed(reused=False),
        then="end",
    ),
)

# The client has not sent all of the body: its next bytes belong to the body, not to a new request.
OWING = message("POST / HTTP/1.1", HOST, "Content-Length: 100000", body="b" * 1000)
OWING_CHUNKS = message("POST / HTTP/1.1", HOST, CHUNKED, body="5\r\nhello\r\n")
TOO_LARGE = message("HTTP/1.1 413 Too Large", "Content-Length: 0")
EARLY = (
    relayed(
        "early-answer",
        "9112 9.3",
        ok(LENGTH, body="hello"),
        Relayed(reused=False, kept=False),
        request=OWING,
        early=True,
    ),
    relayed(
        "early-413",
        "9110 15.5.14",
        TOO_LARGE,
        Relayed(413, b"", reused=False, kept=False),
        request=OWING,
        early=True,
    ),
    relayed(
        "early-413-of-chunks",
        "9110 15.5.14",
        TOO_LARGE,
        Relayed(413, b"", reused=False, kept=False),
        request=OWING_CHUNKS,
        early=True,
    ),
    relayed(
        "early-413-that-closes",
        "9112 9.6",
        message("HTTP/1.1 413 Too Large", "Connection: close", "Content-Length: 0"),
        Relayed(413, b"", reused=False, kept=False),
        request=OWING,
        early=True,
        then="end",
    ),
    relayed(
        "early-204",
        "9112 9.3",
        message("HTTP/1.1 204 No"),
        Relayed(204, b"", reused=False, kept=False),
        request=OWING_CHUNKS,
        early=True,
    ),
    relayed(
        "early-417-for-expect",
        "9110 10.1.1",
        message("HTTP/1.1 417 No", "Content-Length: 0"),
        Relayed(417, b"", reused=False, kept=False),
        request=message("POST / HTTP/1.1", HOST, LENGTH, "Expect: 100-continue"),
        early=True,
    ),
)

THEMES = (
    Theme("Incomplete responses", "the client must see that the response is incomplete", BROKEN),
    Theme(
        "Bytes behind a response",
        "they belong to no request: the connection is closed (RFC 9112 9.2)",
        BEHIND,
    ),
    Theme(
        "Early responses",
        "the rest of the request's body must not be read as the next request",
        EARLY,
    ),
)
