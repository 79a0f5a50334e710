"""DirectPlan: what the duties of a route do to requests on the direct path, and to their responses.

It applies the HeadEdits of the duties, in the order of the ordinary path. Tested in
tests/http/direct/test_duties.py.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from vcproxy.http.message.direct_heads import DirectHeads
from vcproxy.http.message.fields import Fields
from vcproxy.http.message.forwarding import to_client
from vcproxy.http.message.head_cache import MAX_SIZE, RepeatCache

if TYPE_CHECKING:
    from vcproxy.http.duties.duty import Duty, Scheme
    from vcproxy.http.duties.head_edits import EditFields, HeadEdits
    from vcproxy.http.message.messages import Request, Response
    from vcproxy.http.proxy.options import Options
    from vcproxy.http.proxy.routing import Route


class DirectAnswer(NamedTuple):
    """The response of a duty."""

    response: Response
    head: bytes
    """The head that is sent; if `undated`, without the Date and the empty line at its end."""
    undated: bool
    """Whether the proxy must add the Date."""
    by: str
    """The key of the duty."""
    route: Route | None
    """The route, if the duty is called when it has been found."""


class Answering(NamedTuple):
    """A duty that may answer requests."""

    key: str
    answer: Callable[[Request], Response | None]
    edit: EditFields | None
    """What all duties that apply then do to its response."""
    early: bool
    """Whether it is called before the route is found."""


class DirectPlan:
    """The edits for requests that arrive by one scheme and take one route."""

    __slots__ = ("_answering", "_changing", "_lines", "_options", "_route", "_targets", "heads")

    def __init__(
        self,
        options: Options,
        route: Route,
        answering: Sequence[Answering],
        edits: Sequence[HeadEdits],
    ) -> None:
        """`edits`: those of all duties, in their order."""
        self._options = options
        self._route = route
        self._answering = answering
        self._targets = [each.target for each in edits if each.target is not None]
        self._changing = [each.request_fields for each in edits if each.request_fields is not None]
        self._lines = RepeatCache[bytes]()
        self.heads = DirectHeads(options.limits, options.via, last_phase(edits))
        """The responses that may be passed back."""

    def answer(self, request: Request) -> DirectAnswer | None:
        """Return the response of a duty to a request; None: a server gets it."""
        for each in self._answering:
            response = each.answer(request)
            if response is not None:
                if each.edit is not None:
                    each.edit(response.fields)
                head = to_client(response, pseudonym=self._options.via, body=len(response.content))
                undated = "Date" not in response.fields
                route = None if each.early else self._route
                head = head[:-2] if undated else head
                return DirectAnswer(response, head, undated, each.key, route)
        return None

    def request_line(self, line: bytes) -> bytes:
        """Return the line that is forwarded for that of a GET."""
        if not self._targets:
            return line
        target = line[4 : line.rindex(b" ")].decode("ascii")
        for edit in self._targets:
            target = edit(target)
        return f"GET {target} HTTP/1.1\r\n".encode()

    def lines(self, lines: bytes) -> bytes:
        """Return the field lines that are forwarded."""
        if not self._changing:
            return lines
        known = self._lines.get(lines)
        if known is None:
            fields = Fields(lines)
            for edit in self._changing:
                edit(fields)
            known = fields.raw
            if len(lines) <= MAX_SIZE and self._lines.seen_before(lines):
                self._lines.store(lines, known)
        return known


def direct_plan(options: Options, route: Route, scheme: Scheme) -> DirectPlan | None:
    """Return the plan of a route that has duties. None: its requests take the ordinary path."""
    listener = _edits(options.declared, scheme)
    found = _edits(options.duties_on(route), scheme)
    if listener is None or found is None:
        return None
    answering: list[Answering] = []
    changed = False
    for key, early in options.calls(route):
        each = found[key]
        if each.answer is not None:
            if changed:  # it would get the changed request
                return None
            edit = last_phase((listener if early else found).values())
            answering.append(Answering(key, each.answer, edit, early))
        changed = changed or each.target is not None or each.request_fields is not None
    removal = options.user_fields
    every = None if removal is None else removal.head_edits(scheme)
    edits = list(found.values()) if every is None else [every, *found.values()]
    return DirectPlan(options, route, answering, edits)


def _edits(duties: Mapping[str, Duty], scheme: Scheme) -> dict[str, HeadEdits] | None:
    """Return what the duties do, by their keys; None: one of them does more than edit heads."""
    found = {key: duty.head_edits(scheme) for key, duty in duties.items()}
    edits = {key: each for key, each in found.items() if each is not None}
    return edits if len(edits) == len(found) else None


def last_phase(edits: Iterable[HeadEdits]) -> EditFields | None:
    """Return what `every_response` of duties does, which are given in their order; None:
    nothing."""
    steps = [each.response_fields for each in edits if each.response_fields is not None]
    steps.reverse()

    def edit(fields: Fields) -> None:
        for step in steps:
            step(fields)

    return edit if steps else None
