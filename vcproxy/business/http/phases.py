"""Phases: what a plugin sees of a request and its answer, one method for each."""

from __future__ import annotations

from typing import ClassVar


class Phases:
    """The base of filters."""

    vcproxy_filter: ClassVar[bool] = True

    def __init__(self, options: object = None) -> None:
        self.options = options
