"""Media types by extension."""

from __future__ import annotations

import re

import pytest

from vcproxy.http.files.media_types import MEDIA_TYPES, media_type


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("index.html", "text/html; charset=utf-8"),
        ("a/b.JS", "text/javascript; charset=utf-8"),
        ("a.min.css", "text/css; charset=utf-8"),
        ("module.wasm", "application/wasm"),
        ("README", "application/octet-stream"),
        ("a.html/b", "application/octet-stream"),
        (".html", "application/octet-stream"),  # the name of a hidden file
        ("x.unknown", "application/octet-stream"),
    ],
)
def test_types(path: str, kind: str) -> None:
    assert media_type(path, {}) == kind


def test_own_types_come_first() -> None:
    assert media_type("a.css", {"css": "text/x"}) == "text/x"
    assert media_type("README", {}, "text/plain") == "text/plain"


def test_all_types_can_be_sent() -> None:
    for extension, kind in MEDIA_TYPES.items():
        assert re.fullmatch(r"[a-z]+/[a-z0-9.+-]+(; charset=utf-8)?", kind), extension
        assert re.fullmatch("[a-z0-9]+", extension)
        assert kind.startswith("text/") == kind.endswith("utf-8"), extension
    assert list(MEDIA_TYPES) == sorted(MEDIA_TYPES)
