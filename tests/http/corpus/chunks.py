"""Chunked request bodies: chunk sizes, extensions, line ends after the data, trailers."""

from __future__ import annotations

from tests.http.corpus.case import Got, RequestCase, Theme, accepted, chunked, dropped, refused

HELLO = Got("POST", body=b"hello")
LAST = "0\r\n\r\n"


def good(name: str, rfc: str, body: str, got: Got = HELLO) -> RequestCase:
    """A body that the origin gets."""
    return accepted(name, rfc, chunked(body), got)


def bad(name: str, rfc: str, body: str) -> RequestCase:
    """A body whose end never reaches the origin."""
    return refused(name, rfc, chunked(body), streamed=True)


SIZES = (
    good("no-chunk", "9112 7.1", LAST, Got("POST")),
    good("two-chunks", "9112 7.1", "2\r\nhe\r\n3\r\nllo\r\n" + LAST),
    good("chunks-of-one-byte", "9112 7.1", "".join(f"1\r\n{c}\r\n" for c in "hello") + LAST),
    good("size-in-hex", "9112 7.1", "a\r\nhelloworld\r\n" + LAST, Got("POST", body=b"helloworld")),
    good(
        "size-in-capital-hex",
        "9112 7.1",
        "A\r\nhelloworld\r\n" + LAST,
        Got("POST", body=b"helloworld"),
    ),
    good("size-with-leading-zeros", "9112 7.1", "0005\r\nhello\r\n" + LAST),
    good("size-of-16-digits", "9112 7.1", "0000000000000005\r\nhello\r\n" + LAST),
    good("last-chunk-of-zeros", "9112 7.1", "5\r\nhello\r\n000\r\n\r\n"),
    good(
        "data-that-looks-like-the-last-chunk",
        "9112 7.1",
        "5\r\n0\r\n\r\n\r\n" + LAST,
        Got("POST", body=b"0\r\n\r\n"),
    ),
    good("data-of-cr-and-lf", "9112 7.1", "3\r\n\r\n\n\r\n" + LAST, Got("POST", body=b"\r\n\n")),
    bad("size-of-17-digits", "9112 7.1", "00000000000000005\r\nhello\r\n" + LAST),
    bad("size-of-2-to-63", "9112 7.1", "8000000000000000\r\nhello\r\n" + LAST),
    bad("size-of-2-to-64-less-1", "9112 7.1", "ffffffffffffffff\r\nhello\r\n" + LAST),
    bad("size-that-wraps-64-bits", "9112 7.1", "10000000000000005\r\nhello\r\n" + LAST),
    dropped("size-over-32-bits", "9112 7.1", chunked("100000005\r\nhello\r\n" + LAST)),
    bad("size-empty", "9112 7.1", "\r\nhello\r\n" + LAST),
    bad("size-with-0x", "9112 7.1", "0x5\r\nhello\r\n" + LAST),
    bad("size-with-plus", "9112 7.1", "+5\r\nhello\r\n" + LAST),
    bad("size-negative", "9112 7.1", "-5\r\nhello\r\n" + LAST),
    bad("size-minus-0", "9112 7.1", "5\r\nhello\r\n-0\r\n\r\n"),
    bad("size-with-underscore", "9112 7.1", "0_5\r\nhello\r\n" + LAST),
    bad("size-with-h", "9112 7.1", "5h\r\nhello\r\n" + LAST),
    bad("size-with-dot", "9112 7.1", "5.0\r\nhello\r\n" + LAST),
    bad("size-behind-space", "9112 7.1", " 5\r\nhello\r\n" + LAST),
    bad("size-behind-tab", "9112 7.1", "\t5\r\nhello\r\n" + LAST),
    bad("size-with-space-inside", "9112 7.1", "0 5\r\nhello\r\n" + LAST),
    bad("size-with-nul", "9112 7.1", "5\x00\r\nhello\r\n" + LAST),
    bad("size-before-vertical-tab", "9112 7.1", "5\x0b\r\nhello\r\n" + LAST),
    bad("size-before-no-break-space", "9112 7.1", "5\xa0\r\nhello\r\n" + LAST),
    bad("size-in-full-width-digits", "9112 7.1", "\xef\xbc\x95\r\nhello\r\n" + LAST),
    bad("size-in-superscript", "9112 7.1", "\xb2\r\nhi\r\n" + LAST),
    bad("size-in-letters", "9112 7.1", "five\r\nhello\r\n" + LAST),
    bad("size-quoted", "9112 7.1", '"5"\r\nhello\r\n' + LAST),
    bad("size-with-comma", "9112 7.1", "5,\r\nhello\r\n" + LAST),
)

ENDS = (
    bad("size-line-ends-in-lf", "9112 7.1", "5\nhello\r\n" + LAST),
    bad("size-line-ends-in-cr", "9112 7.1", "5\rhello\r\n" + LAST),
    bad("size-line-ends-in-cr-cr-lf", "9112 7.1", "5\r\r\nhello\r\n" + LAST),
    bad("size-line-ends-in-lf-cr", "9112 7.1", "5\n\rhello\r\n" + LAST),
    bad("data-ends-in-lf", "9112 7.1", "5\r\nhello\n" + LAST),
    bad("data-ends-in-cr", "9112 7.1", "5\r\nhello\r" + LAST),
    bad("data-ends-in-lf-cr", "9112 7.1", "5\r\nhello\n\r" + LAST),
    bad("data-without-end", "9112 7.1", "5\r\nhello" + LAST),
    bad("data-ends-in-two-other-bytes", "9112 7.1", "5\r\nhelloXX" + LAST),
    bad("data-ends-in-space-crlf", "9112 7.1", "5\r\nhello \r\n" + LAST),
    bad("data-longer-than-its-size", "9112 7.1", "5\r\nhello world\r\n" + LAST),
    bad("data-shorter-than-its-size", "9112 7.1", "7\r\nhello\r\n" + LAST),
    bad("data-behind-an-empty-line", "9112 7.1", "5\r\n\r\nhello\r\n" + LAST),
    bad("last-chunk-ends-in-lf", "9112 7.1", "5\r\nhello\r\n0\n\r\n"),
    bad("last-line-ends-in-lf", "9112 7.1", "5\r\nhello\r\n0\r\n\n"),
    bad("last-line-ends-in-cr", "9112 7.1", "5\r\nhello\r\n0\r\n\rX"),
    bad("all-lines-end-in-lf", "9112 7.1", "5\nhello\n0\n\n"),
    bad("last-chunk-with-data", "9112 7.1", "0\r\nhello\r\n" + LAST),
    dropped("end-before-the-last-chunk", "9112 8", chunked("5\r\nhello\r\n")),
    dropped("end-behind-the-last-size", "9112 8", chunked("5\r\nhello\r\n0\r\n")),
    dropped("end-within-the-last-line", "9112 8", chunked("5\r\nhello\r\n0\r\n\r")),
    dropped("end-within-data", "9112 8", chunked("5\r\nhel")),
    dropped("end-within-a-size", "9112 8", chunked("5")),
)

EXTENSIONS = (
    good("extension", "9112 7.1.1", "5;a=b\r\nhello\r\n" + LAST),
    good("extension-without-value", "9112 7.1.1", "5;a\r\nhello\r\n" + LAST),
    good("extension-quoted", "9112 7.1.1", '5;a="b c"\r\nhello\r\n' + LAST),
    good("extension-with-a-semicolon-quoted", "9112 7.1.1", '5;a="b;c=d"\r\nhello\r\n' + LAST),
    good("extension-with-a-quoted-pair", "9112 7.1.1", '5;a="b\\"c"\r\nhello\r\n' + LAST),
    good("extension-with-empty-quotes", "9112 7.1.1", '5;a=""\r\nhello\r\n' + LAST),
    good("extensions", "9112 7.1.1", "5;a;b=c;d\r\nhello\r\n" + LAST),
    good("extension-of-the-last-chunk", "9112 7.1.1", "5\r\nhello\r\n0;a=b\r\n\r\n"),
    bad("extension-empty", "9112 7.1.1", "5;\r\nhello\r\n" + LAST),
    bad("extension-of-two-semicolons", "9112 7.1.1", "5;;a\r\nhello\r\n" + LAST),
    bad("extension-without-name", "9112 7.1.1", "5;=b\r\nhello\r\n" + LAST),
    bad("extension-with-empty-value", "9112 7.1.1", "5;a=\r\nhello\r\n" + LAST),
    bad("extension-with-two-equals", "9112 7.1.1", "5;a=b=c\r\nhello\r\n" + LAST),
    bad("extension-with-open-quote", "9112 7.1.1", '5;a="b\r\nhello\r\n' + LAST),
    bad("extension-with-crlf-in-quotes", "9112 7.1.1", '5;a="\r\nhello\r\n' + LAST + '"\r\n'),
    bad("extension-with-escaped-crlf", "9112 7.1.1", '5;a="\\\r\nhello\r\n' + LAST),
    bad("extension-with-text-behind-quotes", "9112 7.1.1", '5;a="b"c\r\nhello\r\n' + LAST),
    bad("extension-with-a-quote-in-a-token", "9112 7.1.1", '5;a=b"c\r\nhello\r\n' + LAST),
    bad("extension-with-lf", "9112 7.1.1", "5;a\nhello\r\n" + LAST),
    bad("extension-with-lf-and-crlf-behind", "9112 7.1.1", "5;\nab\r\nhello\r\n" + LAST),
    bad("extension-with-cr", "9112 7.1.1", "5;a\rb\r\nhello\r\n" + LAST),
    bad("extension-with-lf-in-quotes", "9112 7.1.1", '5;a="b\nc"\r\nhello\r\n' + LAST),
    bad("extension-with-nul", "9112 7.1.1", "5;a=\x00\r\nhello\r\n" + LAST),
    bad("extension-with-nul-in-quotes", "9112 7.1.1", '5;a="\x00"\r\nhello\r\n' + LAST),
    bad("extension-with-obs-text", "9112 7.1.1", "5;\xe9=b\r\nhello\r\n" + LAST),
    bad("extension-without-semicolon", "9112 7.1.1", "5 a=b\r\nhello\r\n" + LAST),
    bad("extension-over-the-limit", "9112 7.1.1", f"5;{'a' * 300}\r\nhello\r\n" + LAST),
    bad("size-that-never-ends", "9112 7.1.1", "0" * 300 + "5\r\nhello\r\n" + LAST),
)


def trailed(*lines: str) -> str:
    """A body with these trailer lines."""
    return "5\r\nhello\r\n0\r\n" + "".join(f"{line}\r\n" for line in lines) + "\r\n"


TRAILERS = (
    good("trailer", "9112 7.1.2", trailed("X-Sum: 1")),
    good("trailers", "9112 7.1.2", trailed("X-A: 1", "X-B: 2")),
    good("trailer-with-empty-value", "9112 7.1.2", trailed("X-Sum:")),
    accepted(
        "trailer-announced", "9110 6.6.2", chunked(trailed("X-Sum: 1"), "Trailer: X-Sum"), HELLO
    ),
    good(
        "trailer-of-length-is-dropped",
        "9110 6.5.1",
        trailed("Content-Length: 9"),
        Got("POST", body=b"hello", lacks=("Content-Length: 9",)),
    ),
    good(
        "trailer-of-coding-is-dropped",
        "9110 6.5.1",
        trailed("Transfer-Encoding: gzip"),
        Got("POST", body=b"hello", lacks=("Transfer-Encoding: gzip",)),
    ),
    good(
        "trailer-of-host-is-dropped",
        "9110 6.5.1",
        trailed("Host: b.example"),
        Got("POST", body=b"hello", lacks=("Host: b.example",)),
    ),
    good(
        "trailer-of-connection-is-dropped",
        "9110 7.6.1",
        trailed("Connection: close", "Keep-Alive: timeout=5"),
        Got("POST", body=b"hello", lacks=("Connection: close", "Keep-Alive")),
    ),
    bad("trailer-with-space-before-colon", "9112 5.1", trailed("X-Sum : 1")),
    bad("trailer-without-colon", "9112 5", trailed("X-Sum")),
    bad(
        "trailer-of-a-request-line", "9112 5", trailed("GET /smuggled HTTP/1.1", "Host: a.example")
    ),
    bad("trailer-with-empty-name", "9110 5.1", trailed(": 1")),
    bad("trailer-with-at-in-its-name", "9110 5.1", trailed("X@Sum: 1")),
    bad("trailer-with-nul", "9110 5.5", trailed("X-Sum: 1\x00")),
    bad("trailer-with-escape", "9110 5.5", trailed("X-Sum: \x1b")),
    bad("trailer-with-cr", "9112 2.2", trailed("X-Sum: 1\r2")),
    bad("trailer-ends-in-lf", "9112 7.1.2", "5\r\nhello\r\n0\r\nX-Sum: 1\n\r\n"),
    bad("trailers-end-in-lf", "9112 7.1.2", "5\r\nhello\r\n0\r\nX-Sum: 1\r\n\n"),
    bad("trailer-folded", "9112 5.2", trailed("X-Sum: 1", " 2")),
    bad("trailer-that-starts-with-space", "9112 5.2", trailed(" X-Sum: 1")),
    bad(
        "trailers-over-the-limit-of-bytes",
        "9112 7.1.2",
        trailed(*(f"X-{n}: {'v' * 1000}" for n in range(9))),
    ),
    bad("trailer-over-the-limit", "9112 7.1.2", trailed("X-Sum: " + "v" * 9000)),
    bad(
        "trailers-over-the-limit-of-fields",
        "9112 7.1.2",
        trailed(*(f"X-{n}: 1" for n in range(33))),
    ),
    dropped("end-within-trailers", "9112 8", chunked("5\r\nhello\r\n0\r\nX-Sum: 1\r\n")),
)

THEMES = (
    Theme(
        "Chunk sizes",
        "at most 16 hexadecimal digits: for all else parsers differ on the end of the body",
        SIZES,
    ),
    Theme(
        "Ends of chunks",
        "CRLF after each size and after each chunk's data, both bytes checked",
        ENDS,
    ),
    Theme(
        "Chunk extensions",
        "checked by their grammar and dropped: an LF or a quote hides lines from some parsers",
        EXTENSIONS,
    ),
    Theme("Trailers", "checked like fields; those about framing or routing are dropped", TRAILERS),
)
