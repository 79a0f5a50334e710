"""SharedSubrequests: equal subrequests of all clients are sent once; each gets the responses.

A filter that returns Subrequests with `shares` joins equal ones that are not answered yet, and gets
kept responses that are not older than `shares`. They carry the fields of the first client. Tested
in tests/http/proxy/test_proxied_filters.py.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import TYPE_CHECKING

from vcproxy.engine.continuation import Continuation
from vcproxy.engine.kept_results import KeptResults
from vcproxy.engine.mutex import Mutex
from vcproxy.engine.scheduler import Action
from vcproxy.http.proxy.subrequests import SubrequestGroup, SubrequestsDone

if TYPE_CHECKING:
    from vcproxy.engine.engine import Engine
    from vcproxy.http.message.client_fields import ClientFields
    from vcproxy.http.message.limits import MessageLimits
    from vcproxy.http.message.messages import Request, Response
    from vcproxy.http.proxy.request_record import RequestRecord
    from vcproxy.upstream.upstream import Upstream


class SharedSubrequests:
    """One for each listener and net thread."""

    __slots__ = ("_engine", "_groups", "_kept", "_limits")

    def __init__(self, engine: Engine, limits: MessageLimits) -> None:
        self._engine = engine
        self._limits = limits
        self._groups: dict[Hashable, _Group] = {}
        self._kept: KeptResults[list[Response]] = KeptResults()

    def begin(
        self,
        cont: Continuation,
        upstream: Upstream,
        requests: Sequence[Request],
        client_fields: ClientFields,
        timeout_s: float,
        kept_s: float,
        record: RequestRecord | None,
    ) -> Action:
        """Send the requests, or join equal ones; `cont` gets SubrequestsDone. Return its event.

        `record`: that of the client's request in the access log. Raises ValueError: see
        SubrequestGroup.
        """
        engine = self._engine
        # Equal time limits: so that a request that joins is not answered later than it has asked.
        key = upstream, timeout_s, tuple(map(_key, requests))
        done = Action(cont, SubrequestsDone, None, engine.now, 0.0)
        kept = self._kept.get(key, engine.now)
        if kept is not None:
            engine.deliver_soon(done, SubrequestsDone, _copies(kept))
            return done
        group = self._groups.get(key)
        if group is None:
            group = _Group(self, key, kept_s)
            sent = SubrequestGroup(
                group, upstream, requests, self._limits, client_fields, timeout_s, parent=record
            )
            with group.mutex.hold(engine):
                sent.start()
            self._groups[key] = group
        group.waiting.append(done)
        return done

    def answered(self, group: _Group, responses: list[Response]) -> None:
        """Pass the responses on; keep them, unless one is an error of a server or the proxy."""
        engine = self._engine
        del self._groups[group.key]
        for done in group.waiting:
            engine.deliver_soon(done, SubrequestsDone, _copies(responses))
        if group.kept_s and all(each.status < 500 for each in responses):
            size = sum(len(each.content) + len(each.fields.block) + 500 for each in responses)
            self._kept.put(group.key, responses, size, engine.now + group.kept_s)


class _Group(Continuation):
    """Requests that were sent, and the events of those who wait for the responses."""

    __slots__ = ("_shared", "kept_s", "key", "waiting")

    def __init__(self, shared: SharedSubrequests, key: Hashable, kept_s: float) -> None:
        super().__init__(shared._engine, Mutex())
        self._shared = shared
        self.key = key
        self.kept_s = kept_s
        self.waiting: list[Action] = []

    def handle_event(self, key: Hashable, data: object) -> None:
        """Handle SubrequestsDone."""
        assert isinstance(data, SubrequestsDone)
        self._shared.answered(self, data.responses)


def _key(request: Request) -> Hashable:
    """Return what equal requests have in common."""
    return request.method, request.target, request.host, request.fields.block, request.content


def _copies(responses: list[Response]) -> SubrequestsDone:
    return SubrequestsDone([each.copy() for each in responses])
