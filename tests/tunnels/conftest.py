"""What a tunnel's owner observes is the same copied, bridged, or from one engine to another."""

from __future__ import annotations

import pytest

from .stage import Stage

WAYS = {
    "copied": lambda: Stage(bridges=False),
    "bridged": lambda: Stage(bridges=True),
    "two engines": lambda: Stage(engines=2),
}


@pytest.fixture(params=WAYS)
def stage(request: pytest.FixtureRequest) -> Stage:
    return WAYS[request.param]()
