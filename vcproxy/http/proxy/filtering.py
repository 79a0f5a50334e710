"""How an exchange calls the filters of a phase: one after the other; each may answer or wait.

Tested in tests/http/proxy/test_proxied_filters.py.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from vcproxy.engine.calls import Called
from vcproxy.engine.plugin_error import as_error
from vcproxy.http.filters import Subrequests, Wait
from vcproxy.http.message.messages import Response
from vcproxy.http.proxy.ending import fail_as, fail_with, filter_name, respond
from vcproxy.http.proxy.own_responses import check_sendable
from vcproxy.http.proxy.subrequests import SubrequestGroup, SubrequestsDone
from vcproxy.messages.verdict import Defer

if TYPE_CHECKING:
    from vcproxy.engine.scheduler import Action
    from vcproxy.http.filters import Step
    from vcproxy.http.proxy.exchange import Exchange
    from vcproxy.http.proxy.transaction import Transaction
    from vcproxy.machine.state import State

RESUMED = "RESUMED"
"""Tag: the Wait of a filter is over."""

Then: TypeAlias = "Callable[[Exchange], State | None]"
"""What follows a phase."""


class SuspendedPhase(NamedTuple):
    """A phase in which a filter waits."""

    callback: Callable[[Transaction, Any], object] | None
    """Gets the value that the filter waits for."""
    pending: Action | SubrequestGroup | None
    steps: Iterator[Step]
    """The filters that come after it."""
    then: Then
    state: State
    body: bytes | None
    owner: object
    """The filter."""

    def cancel(self) -> None:
        """Stop waiting: the exchange has ended."""
        if self.pending is not None:
            self.pending.cancel()


def call_filters(
    exchange: Exchange,
    steps: Iterable[Step],
    then: Then,
    state: State,
    body: bytes | None = None,
) -> State | None:
    """Call the filters of a phase, one after the other, then `then`; return the next state.

    After a filter that returns a Response, no other is called. A filter that waits suspends the
    phase in `state`. With a `body`, bytes that a filter returns replace it: see `exchange.body`.
    """
    steps = iter(steps)
    tx = exchange.tx
    for step in steps:
        try:
            result = step(tx) if body is None else step(tx, body)
            if result is None:
                continue
            if body is not None and type(result) is bytes:
                body = result
            elif isinstance(result, Response):
                return respond(exchange, check_sendable(result), filter_name(step))
            else:
                pending = _begin_wait(exchange, step, result)
                owner = getattr(step, "__self__", step)
                exchange.suspended = SuspendedPhase(
                    result.then, pending, steps, then, state, body, owner
                )
                exchange.server.wire.count_pending()
                exchange.set_deadline()
                return exchange.at(state)
        except BaseException as error:
            return fail_with(exchange, as_error(error), "plugin")
    if body is not None:
        exchange.body = body
    return then(exchange)


def resume(exchange: Exchange, data: Called | SubrequestsDone | None) -> State | None:
    """Go on with a suspended phase, with the value that a filter waited for."""
    suspended, exchange.suspended = exchange.suspended, None
    assert isinstance(suspended, SuspendedPhase)
    value: object = None
    if isinstance(data, SubrequestsDone):
        value = data.responses
    elif data is not None:
        if data.error is not None:
            exchange.log(f"filter call failed: {type(data.error).__name__}: {data.error}")
            return fail_as(exchange, 500, "plugin", "filter call failed", "proxy_internal_error")
        value = data.value
    callback = suspended.callback

    def resumed(tx: Transaction, *_: bytes) -> object:
        return value if callback is None else callback(tx, value)

    resumed.__self__ = getattr(callback, "__self__", suspended.owner)  # type: ignore[attr-defined]
    resumed.__qualname__ = getattr(callback, "__qualname__", "a resumed phase")
    steps = chain((resumed,), suspended.steps)
    return call_filters(exchange, steps, suspended.then, suspended.state, suspended.body)


def _begin_wait(exchange: Exchange, step: Step, result: object) -> Action | SubrequestGroup | None:
    client = exchange.client
    cont = client.cont
    if isinstance(result, Defer):
        cont.engine.call(
            cont, result.fn, *result.args, deadline=result.deadline_s, shares=result.shares_s
        )
        return None
    if isinstance(result, Wait):
        return cont.engine.schedule_in(result.seconds, cont, RESUMED, None)
    if isinstance(result, Subrequests):
        upstream = result.upstream or exchange.tx.upstream or client.service.upstream
        if upstream is None:
            raise ValueError("Subrequests without an upstream: pass upstream=")
        record = exchange.tx.record
        if result.shares_s is not None:
            return client.listener.shared_subrequests.begin(
                cont, upstream, result.requests, client.context.fields, result.timeout_s,
                result.shares_s, record,
            )  # fmt: skip
        group = SubrequestGroup(
            cont, upstream, result.requests, client.limits, client.context.fields, result.timeout_s,
            parent=record,
        )  # fmt: skip
        group.start()
        return group
    phase = getattr(step, "__qualname__", "a phase")
    allowed = "None, a Response, Defer, Subrequests or Wait"
    raise TypeError(f"{phase} returned {result!r}: it must be {allowed}")
