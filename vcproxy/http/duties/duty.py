"""Duty: the table of one duty. DutyPhases: the object that does it, on one net thread.

A module of this package has both, and the name of the duty's key. To add a duty: its module, its
field in `declared`, its place in `order`. Tested in tests/http/duties/test_duty.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

from vcproxy.http.filters import Filter, Phases

if TYPE_CHECKING:
    from vcproxy.http.duties.head_edits import HeadEdits
    from vcproxy.http.message.messages import Response
    from vcproxy.http.proxy.transaction import Transaction

Scheme: TypeAlias = Literal["http", "https"]
"""How a client's requests arrive: see `Transaction.scheme`."""

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

    def head_edits(self, scheme: Scheme) -> HeadEdits | None:
        """Return what it does to heads of requests by this scheme, if that is all it does and it
        depends on nothing else. None: its requests take the ordinary path."""
        return None

    def phases(self) -> Phases:
        """Return the object that does it: a new one for each net thread and each place in the file
        that has the key. A duty with `head_edits` needs no other."""
        return HeadEditPhases(self)


ASKED: Final = "vcproxy.asked"
"""The key of the target before it was rewritten, in `notes`."""


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


class HeadEditPhases(DutyPhases):
    """Does what the HeadEdits of a duty say."""

    def __init__(self, duty: Duty) -> None:
        super().__init__(duty)
        plain, secure = duty.head_edits("http"), duty.head_edits("https")
        if plain is None or secure is None:
            raise NotImplementedError(f"{type(duty).__qualname__} has neither edits nor phases")
        self._edits = {"http": plain, "https": secure}

    def request_head(self, tx: Transaction) -> Response | None:
        """See Phases."""
        request = tx.request
        if request.form in ("authority", "asterisk"):  # they have no path, and no server to name
            return None
        edits = self._edits[tx.scheme]
        if edits.answer is not None and (response := edits.answer(request)) is not None:
            return response
        if edits.target is not None:
            tx.notes.setdefault(ASKED, request.origin_form)
            request.target = edits.target(request.origin_form)
        if edits.request_fields is not None:
            edits.request_fields(request.fields)
        return None

    def every_response(self, tx: Transaction, response: Response) -> None:
        """See Phases."""
        edit = self._edits[tx.scheme].response_fields
        if edit is not None:
            edit(response.fields)
