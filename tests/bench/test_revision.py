"""Another revision of this repository to compare with."""

from __future__ import annotations

import pytest

from tests.bench.revision import ROOT, command_module, tree


def test_no_revision_is_this_tree() -> None:
    assert tree("") == ROOT
    assert command_module(ROOT) == "vcproxy.__main__"


def test_a_revision_that_the_clone_does_not_have_is_refused_with_what_to_do() -> None:
    with pytest.raises(LookupError, match="git fetch"):
        tree("0123456789")
