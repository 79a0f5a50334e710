"""Names of machines: what is valid, and that a valid one stays below its directory."""

from __future__ import annotations

from pathlib import PurePosixPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vcproxy.supervise.machine_name import LONGEST, MachineName


@pytest.mark.parametrize(
    ("text", "path", "tag", "file"),
    [
        ("echo/Echo", "echo/Echo", "", "echo_Echo"),
        ("Echo", "Echo", "", "Echo"),
        ("family/Child#Alice", "family/Child", "Alice", "family_Child_Alice"),
        ("a/b/c#1/2#3", "a/b/c", "1/2#3", "a_b_c_1_2_3"),
        ("..a/b..", "..a/b..", "", "..a_b.."),
    ],
)
def test_a_valid_name(text: str, path: str, tag: str, file: str) -> None:
    name = MachineName.parse(text)

    assert (name.path, name.tag, name.file_name) == (path, tag, file)
    assert str(name) == text


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "no path"),
        ("#Alice", "no path"),
        ("../outside", 'out of the served directory with ".."'),
        ("family/../../outside", 'out of the served directory with ".."'),
        ("/bin/sh", "absolute path"),
        ("family//Child", 'empty or "."'),
        ("family/", 'empty or "."'),
        ("./Echo", 'empty or "."'),
        ("a,b", "comma"),
        ("family/Child#", "its tag is empty"),
        ("a b", "a space"),
        ("echo/Echo\0.py", "cannot be printed"),
        ("echo/\udcff", "cannot be printed"),
        ("a\u2028b", "cannot be printed"),
        ("x" * (LONGEST + 1), "longer than 200 bytes"),
        ("\u00e9" * (LONGEST // 2 + 1), "longer than 200 bytes"),
    ],
)
def test_a_name_that_is_not_valid(text: str, reason: str) -> None:
    with pytest.raises(ValueError, match="is not the name of a machine") as refused:
        MachineName.parse(text)
    assert reason in str(refused.value)


@given(st.text(alphabet="a./#\\\0\n,é\udcff"))
def test_a_valid_name_never_leads_out_of_its_directory(text: str) -> None:
    try:
        name = MachineName.parse(text)
    except ValueError:
        return
    parts = PurePosixPath(name.path).parts
    assert not name.path.startswith("/")
    assert ".." not in parts
    assert "/" not in name.file_name
