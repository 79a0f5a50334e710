"""Sizes of requests: just within the limits, and just beyond them."""

from __future__ import annotations

from tests.http.corpus.case import HOST, Got, Theme, accepted, get, message, post, refused

KIB = 1 << 10

WITHIN = (
    accepted(
        "target-of-8000-bytes",
        "9112 3",
        message(f"GET /{'a' * 7999} HTTP/1.1", HOST),
        Got(target="/" + "a" * 7999),
    ),
    accepted(
        "field-of-15-KiB",
        "9110 5.4",
        get("X-A: " + "v" * 15 * KIB),
        Got(has=("X-A: " + "v" * 15 * KIB,)),
    ),
    accepted("name-of-1-KiB", "9110 5.1", get("X" * KIB + ": 1"), Got(has=("X" * KIB + ": 1",))),
    accepted(
        "100-fields", "9110 5.4", get(*(f"X-{n}: {n}" for n in range(99))), Got(has=("X-98: 98",))
    ),
    accepted("head-of-31-KiB", "9110 5.4", get(*(f"X-{n}: {'v' * KIB}" for n in range(30)))),
    accepted(
        "body-of-100-KB",
        "9112 6.2",
        post("Content-Length: 100000", body="b" * 100_000),
        Got("POST", body=b"b" * 100_000),
    ),
)

BEYOND = (
    refused(
        "target-of-9000-bytes", "9110 15.5.15", message(f"GET /{'a' * 9000} HTTP/1.1", HOST), 414
    ),
    refused(
        "query-of-9000-bytes", "9110 15.5.15", message(f"GET /?{'a' * 9000} HTTP/1.1", HOST), 414
    ),
    refused("request-line-without-end", "9110 15.5.15", b"GET /" + b"a" * 10_000, 414),
    refused("method-without-end", "9112 3", b"G" * 10_000, 414),
    refused("field-of-17-KiB", "6585 5", get("X-A: " + "v" * 17 * KIB), 431),
    refused("name-of-17-KiB", "6585 5", get("X" * 17 * KIB + ": 1"), 431),
    refused("cookie-of-17-KiB", "6585 5", get("Cookie: " + "c" * 17 * KIB), 431),
    refused("101-fields", "6585 5", get(*(f"X-{n}: {n}" for n in range(100))), 431),
    refused("1000-fields", "6585 5", get(*("a:" for _ in range(1000))), 431),
    refused("head-of-40-KiB", "6585 5", get(*(f"X-{n}: {'v' * KIB}" for n in range(40))), 431),
    refused(
        "head-without-end",
        "6585 5",
        get(*(f"X-{n}: {'v' * KIB}" for n in range(40))).removesuffix(b"\r\n"),
        431,
    ),
)

THEMES = (
    Theme("Sizes within the limits", "ordinary large requests pass", WITHIN),
    Theme(
        "Sizes beyond the limits",
        "the default limits: a line of 8 KiB, a field of 16 KiB, a head of 32 KiB, 100 fields",
        BEYOND,
    ),
)
