"""Chains: the phases that are called for a request: one chain for each route that has duties.

Tested in tests/http/proxy/test_chains.py.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from vcproxy.http.filters import FilterChain, Phases

if TYPE_CHECKING:
    from vcproxy.http.proxy.options import Options
    from vcproxy.http.proxy.routing import Route


class Chains:
    """The chains of one listener on one net thread."""

    __slots__ = (
        "_by_route",
        "_every",
        "_filters",
        "_listener",
        "_of_routes",
        "_options",
        "base",
        "direct",
        "varied",
    )

    def __init__(self, options: Options, filters: Sequence[Phases]) -> None:
        """`filters`: those of the listener's options, in their order."""
        self._options = options
        self._filters = filters
        self._listener = {key: duty.phases() for key, duty in options.declared.items()}
        self._of_routes: Mapping[int, Mapping[str, Phases]] = {
            id(route): {key: duty.phases() for key, duty in route.declared.items()}
            for route in options.routes
            if route.declared or route.without
        }
        removal = options.user_fields
        self._every = () if removal is None else (removal.phases(),)
        self._prepare()

    def after(self, session: Phases) -> Chains:
        """Return the chains of a session that overrides phases: it is the first filter."""
        other = Chains.__new__(Chains)
        other._options = self._options
        other._filters = (session, *self._filters)
        other._listener = self._listener
        other._of_routes = self._of_routes
        other._every = self._every
        other._prepare()
        return other

    def _prepare(self) -> None:
        self._by_route: dict[int, FilterChain] = {}
        self.varied = bool(self._of_routes)
        """Whether `find` differs from `base` for any route."""
        self.base = self._chain(self._listener)
        """The chain of a request until its route has been found, and of one without a route."""
        edits = (duty.head_edits("http") for duty in self._options.declared.values())
        self.direct = None not in edits and not FilterChain.of(self._filters).used
        """Whether requests may take the direct path: no filter or duty does more than edit heads,
        except on some routes."""

    @property
    def duties(self) -> Iterator[tuple[str, Phases]]:
        """The objects of all duties, with their keys."""
        places: Iterable[Mapping[str, Phases]] = (self._listener, *self._of_routes.values())
        return (pair for each in places for pair in each.items())

    def find(self, route: Route) -> FilterChain:
        """Return the chain of requests that take a route."""
        own = self._of_routes.get(id(route))
        if own is None:
            return self.base
        chain = self._by_route.get(id(route))
        if chain is None:
            objects = {**self._listener, **own}
            applied = self._options.duties_on(route)
            chain = self._by_route[id(route)] = self._chain({key: objects[key] for key in applied})
        return chain

    def _chain(self, duties: Mapping[str, Phases]) -> FilterChain:
        first = self._options.declared.keys() - self._options.late_duties
        late = [
            each
            for key, each in duties.items()
            if key not in first or each is not self._listener[key]
        ]
        return FilterChain.of(
            self._filters,
            duties=(*self._every, *duties.values()),
            late=late,
            folder=duties.get("folder"),
        )
