"""Heads of answers: status lines and fields."""

from __future__ import annotations

from tests.http.corpus.case import Relayed, Theme, bad_gateway, message, ok, relayed

LENGTH = "Content-Length: 5"


def status(line: str) -> bytes:
    """An answer with that status line, otherwise valid."""
    return message(line, LENGTH, body="hello")


STATUS_LINES = (
    relayed("answer", "9112 4", status("HTTP/1.1 200 OK")),
    relayed("reason-empty", "9112 4", status("HTTP/1.1 200 ")),
    relayed("reason-and-its-space-missing", "9112 4", status("HTTP/1.1 200")),
    relayed("reason-of-words", "9112 4", status("HTTP/1.1 200 All is (very) well"), Relayed()),
    relayed("reason-with-obs-text", "9112 4", status("HTTP/1.1 200 Tr\xe8s bien")),
    relayed("reason-with-tab", "9112 4", status("HTTP/1.1 200 O\tK")),
    relayed("status-404", "9110 15.5.5", status("HTTP/1.1 404 Not Found"), Relayed(404)),
    relayed("status-500", "9110 15.6.1", status("HTTP/1.1 500 Oh"), Relayed(500)),
    relayed("status-unknown", "9110 15", status("HTTP/1.1 299 Well"), Relayed(299)),
    relayed("status-out-of-classes", "9110 15", status("HTTP/1.1 999 No"), Relayed(999)),
    relayed(
        "redirect",
        "9110 15.4.3",
        message("HTTP/1.1 302 Found", "Location: /x", "Content-Length: 0"),
        Relayed(302, b"", has=("Location: /x",)),
    ),
    relayed("answer-in-1.2", "9110 2.5", status("HTTP/1.2 200 OK")),
    relayed(
        "answer-in-1.0", "9112 9.3", status("HTTP/1.0 200 OK"), Relayed(reused=False), then="end"
    ),
    bad_gateway("status-line-missing", "9112 4", message(LENGTH, body="hello")),
    bad_gateway("answer-of-0.9", "1945 6.1", b"<html>hello</html>", then="end"),
    bad_gateway("answer-of-nothing", "9110 15.6.3", b"", then="end"),
    bad_gateway("answer-of-an-empty-line", "9112 4", b"\r\n" + status("HTTP/1.1 200 OK")),
    bad_gateway("answer-of-a-request", "9112 4", status("GET / HTTP/1.1")),
    bad_gateway("answer-in-2.0", "9110 2.5", status("HTTP/2.0 200 OK")),
    bad_gateway("answer-in-0.9-with-a-head", "9112 4", status("HTTP/0.9 200 OK")),
    bad_gateway("answer-version-without-minor", "9112 2.3", status("HTTP/1 200 OK")),
    bad_gateway("answer-version-with-two-digits", "9112 2.3", status("HTTP/1.10 200 OK")),
    bad_gateway("answer-version-in-lower-case", "9112 2.3", status("http/1.1 200 OK")),
    bad_gateway("answer-version-of-shoutcast", "9112 2.3", status("ICY 200 OK")),
    bad_gateway("status-of-two-digits", "9112 4", status("HTTP/1.1 20 OK")),
    bad_gateway("status-of-four-digits", "9112 4", status("HTTP/1.1 2000 OK")),
    bad_gateway("status-in-letters", "9112 4", status("HTTP/1.1 2OO OK")),
    bad_gateway("status-with-sign", "9112 4", status("HTTP/1.1 +20 OK")),
    bad_gateway("status-in-superscript", "9112 4", status("HTTP/1.1 20\xb2 OK")),
    bad_gateway("status-000", "9110 15", status("HTTP/1.1 000 OK")),
    bad_gateway("status-099", "9110 15", status("HTTP/1.1 099 OK")),
    bad_gateway("status-missing", "9112 4", status("HTTP/1.1 OK")),
    bad_gateway("status-behind-two-spaces", "9112 4", status("HTTP/1.1  200 OK")),
    bad_gateway("status-behind-tab", "9112 4", status("HTTP/1.1\t200 OK")),
    bad_gateway("status-glued-to-its-reason", "9112 4", status("HTTP/1.1 200OK")),
    bad_gateway("status-line-behind-space", "9112 4", status(" HTTP/1.1 200 OK")),
    bad_gateway("reason-with-nul", "9112 4", status("HTTP/1.1 200 O\x00K")),
    bad_gateway("reason-with-cr", "9112 2.2", status("HTTP/1.1 200 O\rK")),
    bad_gateway("reason-with-escape", "9112 4", status("HTTP/1.1 200 \x1b[2J")),
    bad_gateway(
        "status-line-ends-in-lf", "9112 2.2", b"HTTP/1.1 200 OK\nContent-Length: 0\r\n\r\n"
    ),
    bad_gateway(
        "head-in-lf", "9112 2.2", b"HTTP/1.1 200 OK\nContent-Length: 5\n\nhello", then="end"
    ),
)

FIELDS = (
    relayed(
        "fields-stay",
        "9110 7.6",
        ok("X-A: 1", "x-a: 2", LENGTH, body="hello"),
        Relayed(has=("X-A: 1", "X-A: 2")),
    ),
    relayed(
        "cookies-stay-apart",
        "6265 3",
        ok("Set-Cookie: a=1, b", "Set-Cookie: c=2", LENGTH, body="hello"),
        Relayed(has=("Set-Cookie: a=1, b", "Set-Cookie: c=2")),
    ),
    relayed(
        "answer-value-empty", "9110 5.5", ok("X-A:", LENGTH, body="hello"), Relayed(has=("X-A: ",))
    ),
    relayed(
        "answer-value-with-obs-text",
        "9110 5.5",
        ok("X-A: \xe9", LENGTH, body="hello"),
        Relayed(has=("X-A: \xe9",)),
    ),
    relayed(
        "answer-nominated-field-is-removed",
        "9110 7.6.1",
        ok("Connection: X-A", "X-A: 1", LENGTH, body="hello"),
        Relayed(lacks=("X-A",)),
    ),
    relayed(
        "answer-length-nominated-stays",
        "9110 7.6.1",
        ok("Connection: Content-Length", LENGTH, body="hello"),
    ),
    relayed(
        "answer-hop-by-hop-is-removed",
        "9110 7.6.1",
        ok("Keep-Alive: timeout=5", "Proxy-Connection: keep-alive", LENGTH, body="hello"),
        Relayed(lacks=("Keep-Alive", "Proxy-Connection")),
    ),
    relayed(
        "answer-upgrade-is-not-taken-for-one",
        "9110 7.8",
        ok("Connection: Upgrade", "Upgrade: h2c", LENGTH, body="hello"),
        Relayed(lacks=("Upgrade: h2c",)),
    ),
    relayed(
        "answer-closes",
        "9112 9.6",
        ok("Connection: close", LENGTH, body="hello"),
        Relayed(reused=False),
        then="end",
    ),
    relayed(
        "answer-closes-and-stays",
        "9112 9.6",
        ok("Connection: CLOSE", LENGTH, body="hello"),
        Relayed(reused=False),
    ),
    relayed(
        "answer-in-1.0-is-kept",
        "9112 C.2.2",
        message("HTTP/1.0 200 OK", "Connection: keep-alive", LENGTH, body="hello"),
    ),
    bad_gateway("answer-space-before-colon", "9112 5.1", ok("X-A : 1", LENGTH, body="hello")),
    bad_gateway(
        "answer-length-with-space-before-colon", "9112 5.1", ok("Content-Length : 5", body="hello")
    ),
    bad_gateway("answer-fold", "9112 5.2", ok("X-A: 1", " 2", LENGTH, body="hello")),
    bad_gateway(
        "answer-fold-by-tab", "9112 5.2", ok("X-A: 1", "\tContent-Length: 0", LENGTH, body="hello")
    ),
    bad_gateway("answer-fold-before-any-field", "9112 5.2", ok(" X-A: 1", LENGTH, body="hello")),
    bad_gateway("answer-line-without-colon", "9112 5", ok("hello", LENGTH, body="hello")),
    bad_gateway("answer-name-empty", "9110 5.1", ok(": 1", LENGTH, body="hello")),
    bad_gateway("answer-name-with-at", "9110 5.1", ok("X@A: 1", LENGTH, body="hello")),
    bad_gateway("answer-name-with-obs-text", "9110 5.1", ok("X-\xc4: 1", LENGTH, body="hello")),
    bad_gateway("answer-value-with-nul", "9110 5.5", ok("X-A: 1\x00", LENGTH, body="hello")),
    bad_gateway(
        "answer-value-with-cr", "9112 2.2", ok("X-A: 1\rSet-Cookie: a=1", LENGTH, body="hello")
    ),
    bad_gateway("answer-value-with-escape", "9110 5.5", ok("X-A: \x1b]", LENGTH, body="hello")),
    bad_gateway("answer-line-ends-in-lf", "9112 2.2", ok("X-A: 1\nX-B: 2", LENGTH, body="hello")),
    bad_gateway("answer-line-ends-in-cr-cr-lf", "9112 2.2", ok("X-A: 1\r", LENGTH, body="hello")),
    bad_gateway(
        "answer-head-ends-in-lf", "9112 2.2", b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\nhello"
    ),
    bad_gateway(
        "answer-of-1000-fields",
        "9110 5.4",
        ok(*("a: 1" for _ in range(1000)), LENGTH, body="hello"),
    ),
    bad_gateway(
        "answer-field-of-40-KiB", "9110 5.4", ok("X-A: " + "v" * 40_000, LENGTH, body="hello")
    ),
    bad_gateway(
        "answer-head-without-end", "9110 5.4", b"HTTP/1.1 200 OK\r\n" + b"X-A: 1\r\n" * 5000
    ),
    bad_gateway("answer-head-is-cut", "9112 8", b"HTTP/1.1 200 OK\r\nContent-Le", then="end"),
    bad_gateway("answer-head-is-reset", "9112 8", b"HTTP/1.1 200 OK\r\nContent-Le", then="reset"),
)

THEMES = (
    Theme(
        "Status lines of responses",
        "a status line that is not HTTP/1 becomes 502",
        STATUS_LINES,
    ),
    Theme(
        "Fields of responses",
        "checked like requests: a field that clients read differently splits the response",
        FIELDS,
    ),
)
