"""Refusals: the status, the reason, and when to try again."""

from __future__ import annotations

from vcproxy.http.duties.refusal import refusal


def test_a_refusal() -> None:
    made = refusal(429, "too many requests", {"X-A": "b"}, retry_s=0.2)
    assert made.content == b"429 Too Many Requests\ntoo many requests\n"
    assert made.fields.items() == [
        ("Content-Type", "text/plain; charset=utf-8"),
        ("X-A", "b"),
        ("Retry-After", "1"),
    ]
    assert "Retry-After" not in refusal(503, "maintenance").fields
