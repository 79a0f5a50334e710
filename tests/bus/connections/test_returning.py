"""Many permanent connections whose server comes back: soon, and not all at once."""

from __future__ import annotations

import pytest

from vcproxy.drivers.sim import seeds

from .returning import Returned, real, simulated


def check(returned: Returned) -> None:
    """They are all there in time, and no window has a crowd."""
    assert returned.back_s <= returned.longest_s + 1, returned
    assert returned.crowd <= 3, returned


@pytest.mark.parametrize("seed", list(seeds(2)))
def test_a_thousand_with_one_pause_never_come_at_once(seed: int) -> None:
    """Not even right after the loss, which is at one moment for all."""
    check(simulated(1000, (2,), 20, seed, whole=True))


@pytest.mark.parametrize("seed", list(seeds(2)))
def test_a_thousand_with_growing_pauses_come_back_spread(seed: int) -> None:
    check(simulated(1000, (0.5, 1, 2, 5), 20, seed, whole=False))


def test_two_hundred_on_real_sockets() -> None:
    """The crowd is not checked here, because a stopped process makes one: see tests/bench."""
    returned = real(200, (0.5,), 1.5, whole=True)
    assert returned.attempts >= 200
    assert returned.most < 200
