"""The scanner finds the position of every key, which tomllib does not report."""

import tomllib

import pytest
import tomli_w
from hypothesis import given
from hypothesis import strategies as st

from vcproxy.config.positions import KeyPath, line_and_column, positions

DOCUMENT = '''\
top = 1  # [not.a.table]
a.b."c.d" = """
x = 1
"quoted" \\""" still"""
[ table . 'in' ]
list = [ 1, [2.5, "]"], # ] }
  { deep = 3, "k" = [4] },
]
[[many]]
[[many]]
at = 1979-05-27 07:32:00
[many.child]
key = {}
[[many.grandchild]]
[[many.grandchild]]
x = \'\'\'
[[many]] \'\'\'\'
y = ""
[many.grandchild.last]
1.5 = [[], []]
'''


@pytest.mark.parametrize(
    ("path", "line", "column"),
    [
        (("top",), 1, 1),
        (("a",), 2, 1),
        (("a", "b"), 2, 3),
        (("a", "b", "c.d"), 2, 5),
        (("table",), 5, 3),
        (("table", "in"), 5, 11),
        (("table", "in", "list"), 6, 1),
        (("table", "in", "list", 0), 6, 10),
        (("table", "in", "list", 1, 1), 6, 19),
        (("table", "in", "list", 2), 7, 3),
        (("table", "in", "list", 2, "deep"), 7, 5),
        (("table", "in", "list", 2, "k", 0), 7, 22),
        (("many", 0), 9, 3),
        (("many", 1), 10, 3),
        (("many", 1, "at"), 11, 1),
        (("many", 1, "child", "key"), 13, 1),
        (("many", 1, "grandchild", 1, "x"), 16, 1),
        (("many", 1, "grandchild", 1, "y"), 18, 1),
        (("many", 1, "grandchild", 1, "last", "1", "5", 1), 20, 12),
    ],
)
def test_position(path: KeyPath, line: int, column: int) -> None:
    tomllib.loads(DOCUMENT)
    assert line_and_column(DOCUMENT, positions(DOCUMENT)[path]) == (line, column)


def test_nothing_else_is_found() -> None:
    found = positions('a = """\nb = 1\n"""\r\n# c = 2\r\nd = [1, 2]\r\n')
    assert list(found) == [("a",), ("d",), ("d", 0), ("d", 1)]


KEYS = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=6)
LEAVES = st.one_of(
    st.booleans(), st.integers(-9, 9), st.floats(allow_nan=False), st.datetimes(), KEYS
)
TREES = st.dictionaries(
    KEYS,
    st.recursive(
        LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3)
    ),
    max_size=4,
)


def leaves(tree: object, path: KeyPath = ()) -> list[KeyPath]:
    inside = (
        tree.items()
        if isinstance(tree, dict)
        else enumerate(tree)
        if isinstance(tree, list)
        else None
    )
    if not inside:
        return [path]
    return [leaf for key, value in inside for leaf in leaves(value, (*path, key))]


@given(TREES, st.booleans())
def test_the_position_of_a_leaf_is_that_of_its_key(
    tree: dict[str, object], multiline: bool
) -> None:
    text = tomli_w.dumps(tree, multiline_strings=multiline)
    where = positions(text)
    for path in leaves(tree) if tree else ():
        offset = where[path]
        if isinstance(path[-1], str):
            written = tomli_w.dumps({path[-1]: 0}).removesuffix(" = 0\n")
            assert text[offset:].startswith(written)
        line, column = line_and_column(text, offset)
        assert text.split("\n")[line - 1][column - 1 :] == text[offset:].split("\n")[0]
