"""The paths of files: of every spelling of a request's path."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vcproxy.http.files.requested_file import RequestedFile, requested_file
from vcproxy.http.message.resource import canonical_path


def wanted(path: str, prefix: str = "/", *, dot_files: bool = False) -> tuple[str, bool] | None:
    return requested_file(canonical_path(path), prefix, dot_files=dot_files)


@pytest.mark.parametrize(
    ("path", "file"),
    [
        ("/", ("", True)),
        ("/a", ("a", False)),
        ("/a/b/", ("a/b", True)),
        ("//a//b", ("a/b", False)),
        ("/a/./b/../c", ("a/c", False)),
        ("/a%20b", ("a b", False)),
        ("/%C3%BC", ("ü", False)),
        ("/a%252Fb", ("a%2Fb", False)),  # unescaped once
        ("/a%2Fb", ("a/b", False)),
        ("/a%3Bb", ("a;b", False)),
        ("/a;v=1", ("a", False)),
        ("/...", None),
        ("/a%5Cb", None),
        ("/a%00", None),
        ("/%FF", None),
        ("/%C0%AE%C0%AE/a", None),
        ("/.hidden", None),
        ("/a/.hidden/b", None),
        ("/.well-known/a", (".well-known/a", False)),
        ("/.well-known/.x", None),
    ],
)
def test_paths(path: str, file: tuple[str, bool] | None) -> None:
    assert wanted(path) == file


def test_dot_files() -> None:
    assert wanted("/.env", dot_files=True) == (".env", False)
    assert wanted("/...", dot_files=True) == ("...", False)


def test_the_prefix_is_left_out() -> None:
    assert wanted("/static/a/b", "/static") == ("a/b", False)
    assert wanted("/static/", "/static") == ("", True)
    assert wanted("/static", "/static") == ("", False)
    assert wanted("/a/b", "/a/") == ("b", False)
    assert wanted("/other", "/static") == ("other", False)  # rewritten


PIECES = st.sampled_from(
    [
        "a", "b.txt", ".", "..", "/", "//", "%2e", "%2E", "%2f", "%2F", "%5c", "\\", "%00", "%25",
        "%252e", "%c0%ae", "%", ";", ";x", "%3b", "%20", "%C3%BC", "..;", "~", "%7e", ":", "%u002e",
    ]
)  # fmt: skip


@given(st.lists(PIECES, max_size=12), st.booleans())
def test_no_spelling_has_a_name_that_climbs(pieces: list[str], dot_files: bool) -> None:
    found = wanted("/" + "".join(pieces), dot_files=dot_files)
    if found is None:
        return
    names = found[0].split("/") if found[0] else []
    assert {"", ".", ".."}.isdisjoint(names)
    assert not any(character in found[0] for character in "\0\\")
    assert isinstance(found, RequestedFile)
    if not dot_files:
        assert all(name[0] != "." or name == ".well-known" for name in names)
