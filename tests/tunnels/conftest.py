"""The fixture `harness`: a tunnel's owner gets the same events if bytes are copied, bridged, or
moved between two engines."""

from __future__ import annotations

import pytest

from .harness import Harness

WAYS = {
    "copied": lambda: Harness(bridges=False),
    "bridged": lambda: Harness(bridges=True),
    "two engines": lambda: Harness(engines=2),
}


@pytest.fixture(params=WAYS)
def harness(request: pytest.FixtureRequest) -> Harness:
    return WAYS[request.param]()
