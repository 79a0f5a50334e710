"""Strategy: which children are started again with the one that has ended.

The words are those of Erlang/OTP. Tested in tests/supervise/test_supervisor.py.
"""

from __future__ import annotations

from enum import Enum


class Strategy(Enum):
    """Which children a failure concerns.

    All children that it concerns and that still run are stopped, the last first; then all are
    started, the first first. OTP's `simple_one_for_one`, for children that come and go, is left
    out: `one_for_one` serves.
    """

    ONE_FOR_ONE = "one_for_one"
    """The child that has ended. The children do not depend on one another."""
    ONE_FOR_ALL = "one_for_all"
    """All children. Each depends on all others."""
    REST_FOR_ONE = "rest_for_one"
    """The child that has ended and those after it in the list. Each depends on those before it."""
