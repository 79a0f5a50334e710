"""Phases: what a plugin sees of a request and its answer, one method for each."""

from __future__ import annotations

from typing import Any, ClassVar


class Phases:
    """Where a filter, or a subclass of HttpProxy, steps in."""

    __slots__ = ()


class Filter(Phases):
    """The base of filters."""

    vcproxy_filter: ClassVar[bool] = True

    def __init__(self, options: Any = None) -> None:
        self.options = options
