"""Framing of requests: Content-Length and Transfer-Encoding, alone and against each other."""

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
EMPTY = Got("POST")
CHUNKED = "5\r\nhello\r\n0\r\n\r\n"
SMUGGLED = "GET /smuggled HTTP/1.1\r\nHost: a.example\r\n\r\n"

LENGTHS = (
    accepted("length", "9112 6.2", post("Content-Length: 5"), HELLO),
    accepted("length-0", "9112 6.2", post("Content-Length: 0", body=""), EMPTY),
    accepted("no-length-no-body", "9112 6.3", post(body=""), EMPTY),
    accepted("length-with-leading-zeros", "9110 8.6", post("Content-Length: 0005"), HELLO),
    accepted("length-with-spaces-around", "9112 5.1", post("Content-Length: \t5 "), HELLO),
    accepted("length-without-space", "9112 5.1", post("Content-Length:5"), HELLO),
    accepted("length-in-capitals", "9110 5.1", post("CONTENT-LENGTH: 5"), HELLO),
    accepted(
        "get-with-a-body", "9110 9.3.1", get("Content-Length: 5") + b"hello", Got(body=b"hello")
    ),
    accepted("get-with-length-0", "9112 6.3", get("Content-Length: 0")),
    accepted(
        "delete-with-a-body",
        "9110 9.3.5",
        message("DELETE / HTTP/1.1", HOST, "Content-Length: 5", body="hello"),
        Got("DELETE", body=b"hello"),
    ),
    accepted(
        "head-with-a-body",
        "9110 9.3.2",
        message("HEAD / HTTP/1.1", HOST, "Content-Length: 5", body="hello"),
        Got("HEAD", body=b"hello"),
    ),
    accepted(
        "body-of-any-bytes",
        "9112 6",
        post("Content-Length: 6", body="\x00\r\n\r\n\xff"),
        Got("POST", body=b"\x00\r\n\r\n\xff"),
    ),
    accepted(
        "body-that-looks-like-a-request",
        "9112 6",
        post(f"Content-Length: {len(SMUGGLED)}", body=SMUGGLED),
        Got("POST", body=SMUGGLED.encode()),
    ),
    accepted(
        "body-that-looks-chunked",
        "9112 6.2",
        post("Content-Length: 15", body=CHUNKED),
        Got("POST", body=CHUNKED.encode()),
    ),
    refused("length-twice", "9110 8.6", post("Content-Length: 5", "Content-Length: 5")),
    refused(
        "length-twice-in-other-case", "9110 8.6", post("Content-Length: 5", "content-length: 5")
    ),
    refused("two-lengths", "9112 6.3", post("Content-Length: 5", "Content-Length: 6")),
    refused("two-lengths-the-first-0", "9112 6.3", post("Content-Length: 0", "Content-Length: 5")),
    refused("length-and-an-empty-one", "9112 6.3", post("Content-Length: 5", "Content-Length:")),
    refused("length-list-of-equals", "9110 8.6", post("Content-Length: 5, 5")),
    refused("length-list", "9112 6.3", post("Content-Length: 5,6")),
    refused("length-with-comma", "9110 8.6", post("Content-Length: 5,")),
    refused("length-empty", "9110 8.6", post("Content-Length:")),
    refused("length-with-plus", "9110 8.6", post("Content-Length: +5")),
    refused("length-negative", "9110 8.6", post("Content-Length: -5")),
    refused("length-minus-0", "9110 8.6", post("Content-Length: -0", body="")),
    refused("length-in-hex", "9110 8.6", post("Content-Length: 0x5")),
    refused("length-in-hex-digits", "9110 8.6", post("Content-Length: a", body="helloworld")),
    refused("length-with-underscore", "9110 8.6", post("Content-Length: 0_5")),
    refused("length-with-fraction", "9110 8.6", post("Content-Length: 5.0")),
    refused("length-with-exponent", "9110 8.6", post("Content-Length: 5e0")),
    refused("length-with-unit", "9110 8.6", post("Content-Length: 5 bytes")),
    refused("length-with-parameter", "9110 8.6", post("Content-Length: 5;x=1")),
    refused("length-quoted", "9110 8.6", post('Content-Length: "5"')),
    refused("length-with-space-inside", "9110 8.6", post("Content-Length: 0 5")),
    refused("length-with-nul", "9110 5.5", post("Content-Length: 5\x00")),
    refused("length-behind-vertical-tab", "9110 5.5", post("Content-Length: \x0b5")),
    refused("length-before-form-feed", "9110 5.5", post("Content-Length: 5\x0c")),
    refused("length-before-no-break-space", "9110 8.6", post("Content-Length: 5\xa0")),
    refused("length-before-next-line", "9110 8.6", post("Content-Length: 5\x85")),
    refused("length-in-superscript", "9110 8.6", post("Content-Length: \xb2", body="hi")),
    refused("length-in-full-width-digits", "9110 8.6", post("Content-Length: \xef\xbc\x95")),
    refused("length-in-arabic-digits", "9110 8.6", post("Content-Length: \xd9\xa5")),
    refused("length-of-2-to-63", "9112 6.3", post("Content-Length: 9223372036854775808")),
    refused("length-that-wraps-64-bits", "9112 6.3", post("Content-Length: 18446744073709551621")),
    refused("length-of-30-digits", "9112 6.3", post("Content-Length: " + "0" * 29 + "5")),
    refused("length-with-space-before-colon", "9112 5.1", post("Content-Length : 5")),
    refused("length-with-cr-in-its-name", "9112 2.2", post("Content-\rLength: 5")),
    dropped("length-longer-than-the-body", "9112 8", post("Content-Length: 9")),
    dropped("body-that-never-comes", "9112 8", post("Content-Length: 5", body="")),
)

CODINGS = (
    accepted("coding", "9112 7.1", chunked(CHUNKED), HELLO),
    accepted(
        "coding-in-capitals", "9112 7", post("TRANSFER-ENCODING: CHUNKED", body=CHUNKED), HELLO
    ),
    accepted(
        "coding-in-mixed-case", "9112 7", post("Transfer-Encoding: cHuNkEd", body=CHUNKED), HELLO
    ),
    accepted(
        "coding-without-space", "9112 5.1", post("Transfer-Encoding:chunked", body=CHUNKED), HELLO
    ),
    accepted(
        "coding-behind-tab", "9112 5.1", post("Transfer-Encoding:\tchunked", body=CHUNKED), HELLO
    ),
    accepted(
        "coding-with-spaces-behind",
        "9112 5.1",
        post("Transfer-Encoding: chunked \t", body=CHUNKED),
        HELLO,
    ),
    accepted(
        "coding-of-get",
        "9110 9.3.1",
        get("Transfer-Encoding: chunked") + CHUNKED.encode(),
        Got(body=b"hello"),
    ),
    refused("coding-unknown", "9112 6.1", post("Transfer-Encoding: xchunked", body=CHUNKED), 501),
    refused("coding-cut-short", "9112 6.1", post("Transfer-Encoding: chunke", body=CHUNKED), 501),
    refused("coding-identity", "9112 7", post("Transfer-Encoding: identity"), 501),
    refused("coding-gzip", "9112 6.3", post("Transfer-Encoding: gzip"), 501),
    refused(
        "coding-gzip-then-chunked",
        "9112 6.1",
        post("Transfer-Encoding: gzip, chunked", body=CHUNKED),
        501,
    ),
    refused(
        "coding-chunked-then-gzip",
        "9112 6.3",
        post("Transfer-Encoding: chunked, gzip", body=CHUNKED),
    ),
    refused(
        "coding-chunked-then-identity",
        "9112 6.3",
        post("Transfer-Encoding: chunked, identity", body=CHUNKED),
    ),
    refused(
        "coding-chunked-twice",
        "9112 6.1",
        post("Transfer-Encoding: chunked, chunked", body=CHUNKED),
    ),
    refused(
        "coding-on-two-lines",
        "9112 6.1",
        post("Transfer-Encoding: chunked", "Transfer-Encoding: chunked", body=CHUNKED),
    ),
    refused(
        "coding-and-another-line",
        "9112 6.1",
        post("Transfer-Encoding: chunked", "Transfer-encoding: cow", body=CHUNKED),
    ),
    refused(
        "coding-behind-identity-line",
        "9112 6.1",
        post("Transfer-Encoding: identity", "Transfer-Encoding: chunked", body=CHUNKED),
        501,
    ),
    refused("coding-empty", "9112 6.1", post("Transfer-Encoding:", body=CHUNKED)),
    refused("coding-before-comma", "9112 6.1", post("Transfer-Encoding: chunked,", body=CHUNKED)),
    refused("coding-behind-comma", "9112 6.1", post("Transfer-Encoding: ,chunked", body=CHUNKED)),
    refused(
        "coding-with-parameter", "9112 7", post("Transfer-Encoding: chunked;q=1", body=CHUNKED)
    ),
    refused("coding-with-semicolon", "9112 7", post("Transfer-Encoding: chunked;", body=CHUNKED)),
    refused("coding-quoted", "9112 7", post('Transfer-Encoding: "chunked"', body=CHUNKED)),
    refused(
        "coding-in-apostrophes", "9112 7", post("Transfer-Encoding: 'chunked'", body=CHUNKED), 501
    ),
    refused(
        "coding-twice-without-comma",
        "9112 7",
        post("Transfer-Encoding: chunked chunked", body=CHUNKED),
    ),
    refused(
        "coding-behind-vertical-tab",
        "9110 5.5",
        post("Transfer-Encoding: \x0bchunked", body=CHUNKED),
    ),
    refused(
        "coding-before-form-feed", "9110 5.5", post("Transfer-Encoding: chunked\x0c", body=CHUNKED)
    ),
    refused("coding-behind-nul", "9110 5.5", post("Transfer-Encoding: \x00chunked", body=CHUNKED)),
    refused(
        "coding-before-no-break-space",
        "9112 7",
        post("Transfer-Encoding: chunked\xa0", body=CHUNKED),
    ),
    refused(
        "coding-before-next-line", "9112 7", post("Transfer-Encoding: chunked\x85", body=CHUNKED)
    ),
    refused(
        "coding-with-the-kelvin-sign",
        "9112 7",
        post("Transfer-Encoding: chun\xe2\x84\xaaed", body=CHUNKED),
    ),
    refused(
        "coding-behind-byte-order-mark",
        "9112 7",
        post("Transfer-Encoding: \xef\xbb\xbfchunked", body=CHUNKED),
    ),
    refused(
        "coding-with-space-before-colon",
        "9112 5.1",
        post("Transfer-Encoding : chunked", body=CHUNKED),
    ),
    refused(
        "coding-with-space-before-its-name",
        "9112 5.2",
        post(" Transfer-Encoding: chunked", body=CHUNKED),
    ),
    refused("coding-split-by-lf", "9112 2.2", post("Transfer-Encoding\n: chunked", body=CHUNKED)),
    refused("coding-behind-cr", "9112 2.2", post("Transfer-Encoding:\rchunked", body=CHUNKED)),
    refused(
        "coding-in-1.0",
        "9112 6.1",
        message("POST / HTTP/1.0", HOST, "Transfer-Encoding: chunked", body=CHUNKED),
    ),
    refused(
        "coding-in-kept-1.0",
        "9112 6.1",
        message(
            "POST / HTTP/1.0",
            HOST,
            "Connection: keep-alive",
            "Transfer-Encoding: chunked",
            body=CHUNKED,
        ),
    ),
)

BOTH = (
    refused(
        "length-then-coding",
        "9112 6.1",
        post("Content-Length: 5", "Transfer-Encoding: chunked", body=CHUNKED),
    ),
    refused(
        "coding-then-length",
        "9112 6.1",
        post("Transfer-Encoding: chunked", "Content-Length: 15", body=CHUNKED),
    ),
    refused(
        "coding-and-length-0",
        "9112 6.1",
        post("Content-Length: 0", "Transfer-Encoding: chunked", body=CHUNKED),
    ),
    refused(
        "coding-and-bad-length",
        "9112 6.1",
        post("Content-Length: x", "Transfer-Encoding: chunked", body=CHUNKED),
    ),
    refused(
        "coding-and-empty-length",
        "9112 6.1",
        post("Content-Length:", "Transfer-Encoding: chunked", body=CHUNKED),
    ),
    refused(
        "unknown-coding-and-length",
        "9112 6.1",
        post("Content-Length: 5", "Transfer-Encoding: cow"),
    ),
    refused("empty-coding-and-length", "9112 6.1", post("Content-Length: 5", "Transfer-Encoding:")),
    refused(
        "length-wins-smuggling",
        "9112 11.2",
        post(
            f"Content-Length: {5 + len(SMUGGLED)}",
            "Transfer-Encoding: chunked",
            body="0\r\n\r\n" + SMUGGLED,
        ),
    ),
    refused(
        "coding-wins-smuggling",
        "9112 11.2",
        post(
            "Content-Length: 4",
            "Transfer-Encoding: chunked",
            body=f"{len(SMUGGLED):x}\r\n{SMUGGLED}\r\n0\r\n\r\n",
        ),
    ),
    refused(
        "coding-nominated-and-length",
        "9110 7.6.1",
        post(
            "Connection: Transfer-Encoding",
            "Content-Length: 15",
            "Transfer-Encoding: chunked",
            body=CHUNKED,
        ),
    ),
    refused(
        "coding-and-length-in-1.0",
        "9112 6.1",
        message(
            "POST / HTTP/1.0",
            HOST,
            "Content-Length: 15",
            "Transfer-Encoding: chunked",
            body=CHUNKED,
        ),
    ),
)

THEMES = (
    Theme(
        "Content-Length",
        "one line of digits: all other forms are read differently, with another end of the body",
        LENGTHS,
    ),
    Theme(
        "Transfer-Encoding",
        "exactly `chunked`, in HTTP/1.1: a server that does not know the coding uses the length",
        CODINGS,
    ),
    Theme("Both at once", "RFC 9112 allows the refusal; regular clients never send both", BOTH),
)
