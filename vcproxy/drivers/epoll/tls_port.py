"""TlsPort: a stream port with a TLS filter between the socket and the engine.

Tested in tests/conformance/test_epoll.py and tests/drivers/test_epoll_tls.py.
"""

from __future__ import annotations

import select
import socket
import ssl
from typing import TYPE_CHECKING

from vcproxy.drivers.epoll.closing import LINGER_S
from vcproxy.drivers.epoll.stream import ENDS, SMALL, StreamPort, plain
from vcproxy.drivers.spreading import deliver
from vcproxy.drivers.tls import RECORD, TlsFilter, Truncated
from vcproxy.drivers.tls_sessions import ClientTls
from vcproxy.engine.failures import TlsError

if TYPE_CHECKING:
    from vcproxy.drivers.epoll.poller import Poller
    from vcproxy.engine.address import Address
    from vcproxy.engine.blocks import Block


def accepted_port(driver: Poller, sock: socket.SocketType, context: object) -> TlsPort:
    """Return a port for a client's socket. `context` must be an ssl.SSLContext."""
    assert isinstance(context, ssl.SSLContext)
    return TlsPort(driver, sock, TlsFilter(context, server_side=True))


def connected_port(
    driver: Poller, sock: socket.SocketType, tls: object, address: Address, server_name: str
) -> TlsPort:
    """Return a port for a socket connected to a server. `tls` must be a ClientTls: see there."""
    assert isinstance(tls, ClientTls)
    return TlsPort(driver, sock, tls.connection(address, server_name))


class TlsPort(StreamPort):
    """A socket whose bytes are ciphertext; the engine gets and counts plaintext."""

    __slots__ = ("_closing", "_filter")

    def __init__(self, driver: Poller, sock: socket.SocketType, tls: TlsFilter) -> None:
        super().__init__(driver, sock)
        self.spliceable = False
        self._filter = tls
        self._closing = False

    @property
    def tls_parameters(self) -> tuple[str | None, str | None]:
        """See `NetVConnection.tls_parameters`."""
        return self._filter.parameters

    def ready(self, mask: int) -> None:
        """Handle an event of epoll."""
        if mask & ~select.EPOLLOUT:
            self.readable = True
        if mask & ENDS:
            self._ending = True
        unblocked = not self.writable and bool(mask & select.EPOLLOUT)
        if unblocked:
            self.writable = True
        if self._closing:
            self._finish_closing()
        elif not self._filter.established:
            self.continue_handshake()
        else:
            if unblocked:
                self.write()
            self.read()
            if mask & select.EPOLLERR:
                self.check_error()

    def continue_handshake(self) -> None:
        """Continue the handshake with the data that the socket has."""
        tls = self._filter
        try:
            while tls.pending or self._receive():
                done = tls.handshake()
                self._flush()
                if done:
                    break
            else:
                return
        except TlsError as error:
            self._flush()  # the alert
            self.vc.failed(error)
            return
        except OSError as error:
            self.fail(error)
            return
        if tls.certificate is not None:
            self.vc.presented(tls.certificate)
        self.vc.established(tls.sni, tls.alpn, tls.peer)

    def read(self) -> None:
        """Read once: plaintext in the filter first, else from the socket."""
        tls = self._filter
        if not (self.readable or tls.pending):
            return
        vc = self.vc
        room = vc.begin_read()
        if not room:
            if self._lost is not None:
                self.report_lost()
            return
        error: OSError | None = None
        data: Block | None = None
        try:
            while data is None and (tls.pending or self._receive()):
                if self._small:
                    data = tls.read(RECORD if room > RECORD else room)
                else:
                    view = vc.engine.memory.scratch[:room]
                    count = tls.read_into(view)
                    data = None if count is None else view[:count]
        except OSError as reason:
            error = reason
        if data:
            self._small = len(data) < SMALL and not tls.pending
            deliver(vc, data)
            if self.readable or tls.pending:
                vc.again(True)
        else:
            vc.would_block()
            if data is not None:
                vc.ended()
            elif isinstance(error, Truncated) and self._lost is None:
                vc.ended(error)  # FIN without close_notify: the other direction still works
            elif error is not None:
                self._flush()
                self.fail(self._lost or error)
        if tls.has_ciphertext:
            self._flush()

    def write(self) -> None:
        """Encrypt and send as much as the socket takes now."""
        vc, tls = self.vc, self._filter
        if tls.has_ciphertext:
            self._flush()
        if self.bridged_in is not None:
            self.bridged_in.move()
            return
        while self.writable and tls.established:
            views = vc.begin_write()
            if views is None:
                return
            try:
                size = len(views[0]) if len(views) == 1 else sum(map(len, views))
                if size <= RECORD:
                    self._send_record(views[0] if len(views) == 1 else b"".join(views))
                    vc.sent(size)
                    return
                count = tls.write(views)
            except TlsError as error:
                vc.sent(0)
                self.fail(error)
                return
            vc.sent(count)
            self._flush()
            if not count:
                return

    def push(self, data: Block) -> int:
        """Encrypt and send data that another port has just read; return its bytes encrypted."""
        tls = self._filter
        if not (self.writable and tls.established):
            return 0
        taken = 0
        try:
            if len(data) <= RECORD and not tls.has_ciphertext:
                return self._send_record(data)
            while self.writable and taken < len(data):
                count = tls.write([memoryview(data)[taken:] if taken else data])
                taken += count
                self._flush()
                if not count:
                    break
        except TlsError:
            pass  # the next write raises the error again, without the reader's lock
        return taken

    def _send_record(self, data: Block) -> int:
        """Encrypt at most RECORD bytes and send them, where nothing is unsent; return their number.

        Raises TlsError.
        """
        wire = self._filter.encrypt(data)
        try:
            count = self._io.send(wire)
        except BlockingIOError:
            count = 0
        except OSError as error:
            self._broken(error)
            return len(data)
        if count < len(wire):
            self._filter.keep(wire[count:])
            self.writable = False
        return len(data)

    @property
    def unread(self) -> bool:
        """Whether there is unread input, including a record without content."""
        return self._filter.pending or super().unread

    def fail(self, error: OSError) -> None:
        """Report a broken connection to the VC; all input has been read."""
        if isinstance(error, TlsError):
            self.readable = self.writable = False
            self.vc.failed(error)
        else:
            super().fail(error)

    def shutdown_write(self) -> None:
        """Send close_notify after all that was written; FIN follows at the close."""
        self._filter.close_notify()
        self._flush()

    def close(self, abort: bool) -> None:
        """Close: with a reset, or in order when all ciphertext is sent, at most LINGER_S later."""
        if abort:
            self._flush()  # the alert with the reason
            super().close(abort=True)
            return
        self._filter.close_notify()
        self._closing = True
        self._driver.after(LINGER_S, self.force_close)
        self._finish_closing()

    def _finish_closing(self) -> None:
        if self._flush() and self.sock is not None:
            super().close(abort=False)

    def _receive(self) -> bool:
        """Read from the socket into the filter; return False if there was nothing to read."""
        if not self.readable:
            return False
        scratch = self._driver.ciphertext
        try:
            count = self._io.recv_into(scratch)
        except BlockingIOError:
            self.readable = False
            return False
        if count:
            self._filter.feed(scratch[:count])
            # A short read shows an empty socket only if no FIN can follow the data.
            if count < len(scratch) and not self._ending:
                self.readable = False
        else:
            self._filter.feed_eof()
            self.readable = False
            self._eof = True
        return True

    def _flush(self) -> bool:
        """Send as much ciphertext as the socket takes; return whether none is left."""
        tls = self._filter
        try:
            while tls.has_ciphertext:
                tls.sent(self._io.send(tls.ciphertext()))
        except BlockingIOError:
            self.writable = False
            return False
        except OSError as error:
            self._broken(error)
        return True

    def _broken(self, error: OSError) -> None:
        """Store the error of a send; it is reported after earlier input, such as an alert."""
        self.writable = False
        if self._lost is None:
            self._lost = plain(error)
            self.readable = self._ending = True
            self.vc.again(True)
