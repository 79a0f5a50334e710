"""ServerSide: the server connection of an exchange: how it is chosen, used, replaced, given back.

Tested in tests/http/proxy/test_servers.py, test_kept.py and test_keep_alive.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vcproxy.http.proxy.balance_key import balance_key
from vcproxy.http.proxy.wire import Wire

if TYPE_CHECKING:
    from vcproxy.engine.net import NetVConnection
    from vcproxy.http.proxy.client_side import ClientSide
    from vcproxy.http.proxy.transaction import Transaction
    from vcproxy.upstream.server import Server
    from vcproxy.upstream.upstream import Upstream

IDEMPOTENT = frozenset({"GET", "HEAD", "OPTIONS", "PUT", "DELETE"})
"""Methods that may be sent again after a connection failure (RFC 9110, 9.2.2)."""

STALE_S = 1.0
"""Seconds. If a reused connection ends within this time after a request was sent, the server most
likely closed it before the request arrived."""


class ServerSide:
    """One connection of the transaction's upstream at a time; None before the first and after the
    last."""

    __slots__ = ("_client", "_idle_s", "_tried", "_tx", "repeatable", "vc", "waited_s", "wire")

    def __init__(self, client: ClientSide, tx: Transaction) -> None:
        self._client = client
        self._tx = tx
        self._idle_s = 0.0  # how long the connection was idle before it was reused
        self._tried: tuple[Server, ...] = ()
        self.waited_s = 0.0
        """How long the request waited in the queue for a reused connection."""
        self.vc: NetVConnection | None = None
        """The connection, or the attempt to connect."""
        self.wire = Wire(client.cont)
        """The input and output of the connection, once a request is sent or a filter waits."""
        self.repeatable = False
        """Whether the request may be sent again: all of it is held, and no response has begun."""

    @property
    def upstream(self) -> Upstream:
        """Where the request goes."""
        upstream = self._tx.upstream
        assert upstream is not None
        return upstream

    # -- a connection ------------------------------------------------------------------------

    def acquire(self) -> bool:
        """Take an idle connection, at the first attempt and never for CONNECT; return True. Else
        begin to connect: CONNECTED or ERROR is delivered to the client's continuation."""
        if self.acquire_at_once():
            return True
        tx, client, upstream, key = self._tx, self._client, self.upstream, self._key
        tx.attempts += 1
        tunnel = tx.request.form == "authority"
        if tx.attempts == 1 and not tunnel:
            idle = upstream.take(
                client.cont, key=key, client=tx.client, origin=client.vc, preferred=tx.preferred
            )
            if idle is not None:
                self._reuse(idle)
                return True
        tx.reused = False
        self.vc = upstream.connect(
            client.cont,
            key=key,
            client=tx.client,
            origin=client.vc,
            tried=self._tried,
            timeout=client.service.connect_s,
            reuse=not tunnel,
            preferred=tx.preferred,
        )
        return False

    def acquire_at_once(self) -> bool:
        """Take an idle connection at the first attempt, as `acquire` does, if nothing else is to be
        done for it: see Upstream.take_at_once."""
        tx, client, upstream = self._tx, self._client, self._tx.upstream
        assert upstream is not None
        if tx.attempts or tx.preferred is not None or tx.request.form == "authority":
            return False
        idle = upstream.take_at_once(client.cont, self._key or tx.client)
        if idle is None:
            return False
        tx.attempts = 1
        self._reuse(idle)
        return True

    @property
    def _key(self) -> str | None:
        """The key for balancing; None: the client's address."""
        settings = self.upstream.settings
        if settings.balance != "hash":
            return None
        return balance_key(self._tx.request.fields, settings.hash_by)

    def claim(self, waited: NetVConnection) -> bool:
        """Take the idle connection that was reserved for this request in the queue; False: it has
        been closed since, and no attempt was made."""
        kept = self.upstream.claim(self._client.cont, waited)
        self.waited_s = waited.engine.now - waited.opened_at
        self.drop()
        if kept is None:
            self._tx.attempts -= 1
            return False
        self._reuse(kept)
        return True

    def resume(self, vc: NetVConnection, idle_s: float, before: int) -> None:
        """Take over a connection on which the request was sent already: see SentRequest."""
        self._tx.attempts = 1
        self._tx.reused = True
        self._tx.server = vc.name
        self.vc = vc
        self._idle_s = idle_s
        self.wire.attach(vc, before)
        self.repeatable = True
        if self._tx.record is not None:
            self._tx.record.server_selected(self, reused=True)

    def _reuse(self, vc: NetVConnection) -> None:
        self._tx.reused = True
        self._idle_s = vc.engine.now - vc.moved_at
        self.vc = vc

    def another_after(self, failed: NetVConnection) -> bool:
        """Note that a server could not be connected; return whether another one may be tried."""
        server = self.upstream.server_of(failed)
        if server is None:
            return False
        self._tx.server = failed.name
        self._tried = (*self._tried, server)
        another = self.upstream.has_another(self._tried)
        if another and self._tx.record is not None:
            self._tx.record.server_left(failed.name)
        return another

    # -- its end -----------------------------------------------------------------------------

    def unanswered(self) -> tuple[str, bool]:
        """Return why there is no response, as the connection has ended, and whether the request
        may be sent again on another connection."""
        vc, tx, wire = self.vc, self._tx, self.wire
        assert vc is not None
        again = self.repeatable and (
            wire.nothing_sent
            or (tx.reused and tx.request.method in IDEMPOTENT and not wire.pending)
        )
        why = str(vc.error) if vc.error is not None else "connection closed without a response"
        if tx.reused and vc.engine.now - vc.moved_at < STALE_S:
            self.upstream.closed_early(vc, self._idle_s)
            why += f" on a connection idle for {self._idle_s:.1f} s"
            if not again:
                why += "; not sent again, as the server may have processed it"
        return why, again

    def report_failure(self, why: str) -> None:
        """Report a failed request to the upstream. (It detects connect failures itself.)"""
        if self._tx.upstream is not None and self.vc is not None and self.vc.open:
            self._tx.upstream.failed(self.vc, why)

    def release(self, reusable: bool) -> None:
        """Report that the request was answered; give a reusable connection back, else close it."""
        vc, wire, upstream = self.vc, self.wire, self._tx.upstream
        assert vc is not None
        assert upstream is not None
        if reusable and wire.idle:
            self.vc = None
            wire.release()
            upstream.answered(vc)
        else:
            upstream.succeeded(vc)
            self.drop()

    def drop(self, error: Exception | None = None) -> None:
        """Close the connection, if there is one; with an error, the server gets a reset."""
        if self.vc is not None:
            self.vc.do_io_close(error)
            self.vc = None
            self.wire.close()
