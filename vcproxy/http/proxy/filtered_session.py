"""FilteredSession: runs the filters of a phase, one after the other; each may answer or wait.

Tested in tests/http/proxy/test_proxied_filters.py.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from itertools import chain
from typing import TYPE_CHECKING, NamedTuple

from vcproxy.engine.calls import Called
from vcproxy.engine.plugin_error import as_error
from vcproxy.http.message.messages import Response
from vcproxy.http.proxy.filters import FilterChain, Phases, Step, Subrequests, Then, Wait
from vcproxy.http.proxy.listener_context import ListenerContext
from vcproxy.http.proxy.own_responses import check_sendable
from vcproxy.http.proxy.subrequests import SubrequestGroup, SubrequestsDone
from vcproxy.http.proxy.wire import PIPELINED, Wire
from vcproxy.messages.verdict import Defer
from vcproxy.sessions.session import Session

if TYPE_CHECKING:
    from vcproxy.engine.net import NetVConnection
    from vcproxy.engine.scheduler import Action
    from vcproxy.http.message.client_fields import ClientFields
    from vcproxy.http.proxy.failure import Party
    from vcproxy.http.proxy.options import Options as HttpOptions
    from vcproxy.http.proxy.transaction import Transaction
    from vcproxy.machine.state import State
    from vcproxy.sessions.service import Service

RESUMED = "RESUMED"
"""Tag: the Wait of a filter is over."""


class Suspended(NamedTuple):
    """A phase in which a filter waits."""

    callback: Then | None
    """Gets the value that the filter waits for."""
    steps: Iterator[Step]
    """The filters that come after it."""
    then: Callable[[], State | None]
    """What follows the phase."""
    pause_state: State
    body: bytes | None


class FilteredSession(Phases, Session):
    """The part of an Exchange that runs filters: see there."""

    options: HttpOptions

    __slots__ = (
        "_body", "_chain", "_client_fields", "_client_wire", "_context", "_limits", "_pending_wait",
        "_server_wire", "_suspended", "tx",
    )  # fmt: skip

    tx: Transaction
    """The current transaction, or the last one."""

    def __init__(self, client: NetVConnection, service: Service) -> None:
        super().__init__(client, service)
        self._limits = self.options.limits
        self._client_wire = Wire(self, PIPELINED)
        self._server_wire = Wire(self)
        self._context = context = ListenerContext.of(service, self.engine)
        filters = (self, *context.filters)
        self._chain = FilterChain.of(filters) if self.own_phases() else context.chain
        self._client_fields: ClientFields | None = None
        self._body = b""  # the body to forward: of the request or of a buffered response
        self._suspended: Suspended | None = None
        self._pending_wait: Action | SubrequestGroup | None = None  # cancelled at the end

    @property
    def client_fields(self) -> ClientFields:
        """The fields that are added to this client's requests."""
        if self._client_fields is None:
            client = self.client
            self._client_fields = self._context.client_fields(client.peer_address, client.secure)
        return self._client_fields

    def _run_phase(
        self,
        steps: Iterable[Step],
        then: Callable[[], State | None],
        pause_state: State,
        body: bytes | None = None,
    ) -> State | None:
        """Call the filters of a phase, one after the other, then `then`.

        After a filter that returns a Response, no other is called. A filter that waits suspends the
        phase in `pause_state`. With a `body`, bytes that a filter returns replace it.
        """
        steps = iter(steps)
        for step in steps:
            try:
                result = step(self.tx) if body is None else step(self.tx, body)
                if body is not None and type(result) is bytes:
                    body = result
                elif isinstance(result, Response):
                    return self._respond(check_sendable(result))
                elif result is not None:
                    self._wait_for(result, getattr(step, "__qualname__", "a phase"))
                    self._suspended = Suspended(result.then, steps, then, pause_state, body)
                    self._server_wire.count_pending()
                    self._set_deadline()
                    return None if self.state is pause_state else pause_state
            except BaseException as error:
                return self._fail_with(as_error(error), "plugin")
        if body is not None:
            self._body = body
        return then()

    def _wait_for(self, result: object, phase: str) -> None:
        if isinstance(result, Defer):
            self.engine.call(self, result.fn, *result.args, deadline=result.deadline_s)
        elif isinstance(result, Wait):
            self._pending_wait = self.engine.schedule_in(result.seconds, self, RESUMED, None)
        elif isinstance(result, Subrequests):
            upstream = result.upstream or self.tx.upstream or self.service.upstream
            if upstream is None:
                raise ValueError("Subrequests without an upstream: pass upstream=")
            self._pending_wait = group = SubrequestGroup(
                self, upstream, result.requests, self._limits, self.client_fields, result.timeout_s
            )
            group.start()
        else:
            allowed = "None, a Response, Defer, Subrequests or Wait"
            raise TypeError(f"{phase} returned {result!r}: it must be {allowed}")

    def _resume(self, data: Called | SubrequestsDone | None) -> State | None:
        """Resume a suspended phase with the value that a filter waited for."""
        suspended = self._suspended
        assert suspended is not None
        self._suspended = self._pending_wait = None
        if isinstance(data, Called):
            if data.error is not None:
                self.log(f"filter call failed: {type(data.error).__name__}: {data.error}")
                why = "filter call failed"
                return self._fail_as(500, "plugin", why, "proxy_internal_error")
            value = data.value
        else:
            value = data.responses if data is not None else None

        def resumed(tx: Transaction, *_: bytes) -> object:
            return value if suspended.callback is None else suspended.callback(tx, value)

        resumed.__qualname__ = getattr(suspended.callback, "__qualname__", "a resumed phase")
        steps = chain((resumed,), suspended.steps)
        return self._run_phase(steps, suspended.then, suspended.pause_state, suspended.body)

    def _bind_steps(self, steps: tuple[Step, ...]) -> tuple[Callable[[bytes], bytes], ...]:
        return tuple(partial(step, self.tx) for step in steps)

    def _respond(self, response: Response) -> State:
        """Send this response in place of a server's."""
        raise NotImplementedError

    def _fail_as(self, status: int, party: Party, why: str, error: str) -> State:
        """Send an error response."""
        raise NotImplementedError

    def _fail_with(self, error: Exception, party: Party) -> State:
        """Send an error response for an exception."""
        raise NotImplementedError

    def _set_deadline(self, seconds: float = 0) -> None:
        """Set the deadline for the next step."""
        raise NotImplementedError
