"""Duty: the table of one duty. DutyPhases: the object that does it, on one net thread.

A module of this package has both, and the name of the duty's key. To add a duty: its module, its
field in `declared`, its place in `order`. Tested in tests/http/duties/test_duty.py.
"""

from __future__ import annotations

from typing import Any

from vcproxy.http.filters import Filter, Phases

BODY_PHASES = ("request_body", "request_chunk", "response_body")
"""Phases that no duty may have: a body is buffered or decoded before the route is known, or in
memory, and a duty must cost nothing where it does not apply."""


class Duty:
    """The base of the tables of duties: frozen dataclasses.

    A value that cannot be used is a ValueError of `__post_init__` or of a field's validator: `-t`
    shows it with its place in the file.
    """

    @property
    def answers(self) -> bool:
        """Whether it answers every request, so that no server is needed."""
        return False

    def phases(self) -> Phases:
        """Return the object that does it: a new one for each net thread and each place in the file
        that has the key."""
        raise NotImplementedError


class DutyPhases(Filter):
    """The base of what `Duty.phases` returns: a filter, so it has `engine`, `log` and `every`.

    `request_head` comes first of all if only the listener has the duty; otherwise as soon as the
    route has been found. The phases of a response come in the opposite of `order.ORDER`, after
    those of the filters. A duty returns a Response to refuse a request; fields that all responses
    get are added in `every_response`.
    """

    key: str = ""
    """The key of the duty, for the log and the access log, from the first request on."""

    def __init_subclass__(cls, **keywords: Any) -> None:
        super().__init_subclass__(**keywords)
        for name in BODY_PHASES:
            if getattr(cls, name) is not getattr(Phases, name):
                raise TypeError(f"{cls.__qualname__} is a duty: it cannot override {name}()")
