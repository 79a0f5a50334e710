"""answer: the response of a route."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.http.proxy.test_options import read, refused
from vcproxy.http.message.messages import Request, Response
from vcproxy.testing.http import SimulatedHttp


def answered(**answer: object) -> Response:
    with SimulatedHttp(options=read(routes=[{"answer": answer}])) as proxy:
        return proxy.send(Request("GET", "/", host="a.example"))


def test_fields() -> None:
    got = answered(body="{}", content_type="application/json", fields={"Cache-Control": "no-store"})
    assert (got.status, got.content) == (200, b"{}")
    assert got.fields["Content-Type"] == "application/json"
    assert got.fields["Cache-Control"] == "no-store"


def test_a_text_is_plain() -> None:
    assert answered(body="hi").fields["Content-Type"] == "text/plain; charset=utf-8"
    assert "Content-Type" not in answered(status=204).fields


def test_a_body_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "robots.html"
    file.write_text("<p>no")
    got = answered(status=403, body_file=str(file))
    assert (got.status, got.content) == (403, b"<p>no")
    assert got.fields["Content-Type"] == "text/html; charset=utf-8"
    got = answered(body_file=str(file), content_type="text/x")
    assert got.fields["Content-Type"] == "text/x"


def test_refused(tmp_path: Path) -> None:
    file = tmp_path / "a"
    file.touch()
    for answer, error in [
        ({"body": "x", "body_file": str(file)}, "answer: an answer has a body or a body_file"),
        ({"status": 204, "body_file": str(file)}, "answer: an answer with the status 204 has no"),
        ({"body_file": "/nowhere"}, "answer.body_file: cannot read /nowhere: No such file"),
        ({"fields": {"Content-Length": "1"}}, 'answer: "Content-Length" is written by the proxy'),
        ({"fields": {"X": "a\nb"}}, "answer.fields.X: 'a\\nb' is not a field value"),
    ]:
        (problem,) = refused(routes=[{"answer": answer}])
        assert problem.startswith(f"routes.0.{error}"), problem


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_head_has_the_length(method: str, tmp_path: Path) -> None:
    file = tmp_path / "a.txt"
    file.write_text("12345")
    options = read(routes=[{"answer": {"body_file": str(file)}}])
    with SimulatedHttp(options=options) as proxy:
        got = proxy.send(Request(method, "/", host="a.example"))
    assert got.fields["Content-Length"] == "5"
    assert got.content == (b"12345" if method == "GET" else b"")
