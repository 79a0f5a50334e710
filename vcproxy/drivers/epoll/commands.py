"""Commands: performs the commands of an engine with the epoll driver.

Tested in tests/drivers/test_epoll_connecting.py and tests/conformance/test_epoll.py.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from vcproxy.drivers.datagrams import DatagramPort
from vcproxy.drivers.epoll import datagram, local
from vcproxy.drivers.epoll.accepting import show
from vcproxy.drivers.epoll.connecting import Connecting, Resolving, connect_error
from vcproxy.drivers.epoll.local import SPECIAL
from vcproxy.drivers.epoll.pipes import PipePool
from vcproxy.drivers.epoll.sources.sources import Sources
from vcproxy.drivers.epoll.splice import Splice
from vcproxy.drivers.epoll.stream import StreamPort
from vcproxy.drivers.spreading import spread
from vcproxy.engine.commands import (
    Call,
    CancelCall,
    Close,
    CloseSource,
    Command,
    Connect,
    DisableSource,
    EnableSource,
    EndBridge,
    OpenSource,
    Rescan,
    Resolve,
    ResumeAccept,
    SendBusReply,
    SendDatagram,
    ShutdownWrite,
    SignalChild,
    Spread,
    StartBridge,
    Stop,
    Subscribe,
    UnwatchPath,
    WatchContent,
    WatchPath,
)

if TYPE_CHECKING:
    from vcproxy.drivers.epoll.descriptor_port import DescriptorPort
    from vcproxy.drivers.epoll.driver import EpollDriver
    from vcproxy.drivers.epoll.thread_pool import Job
    from vcproxy.drivers.nats import AsyncioThread
    from vcproxy.engine.address import Address


_WITH_AN_END = (StreamPort, DatagramPort)


class Commands:
    """Performs the commands of one engine. Driver and Commands refer to each other."""

    def __init__(self, driver: EpollDriver) -> None:
        self._driver = driver
        self._calls: dict[int, tuple[str, Job]] = {}  # call number: (name of the pool, job)
        self._nats: AsyncioThread | None = None
        self.pipes = PipePool(driver.descriptors)
        self._sources = Sources(driver)
        self.perform: dict[type[Command], Callable[..., None]] = {
            Resolve: self._resolve,
            Connect: self._connect,
            Subscribe: self._subscribe,
            ShutdownWrite: self._shutdown_write,
            Close: self._close,
            Call: self._call,
            CancelCall: self._cancel_call,
            StartBridge: self._start_bridge,
            EndBridge: self._end_bridge,
            Spread: spread,
            ResumeAccept: self._resume_accept,
            OpenSource: self._sources.open,
            CloseSource: self._sources.close_source,
            DisableSource: self._sources.disable,
            EnableSource: self._sources.enable,
            SignalChild: self._sources.signal_child,
            SendDatagram: self._sources.send,
            WatchPath: self._sources.watch_path,
            UnwatchPath: self._sources.unwatch_path,
            WatchContent: self._sources.watch_content,
            SendBusReply: driver.bus.reply,
            Rescan: lambda _: driver.on_rescan(),
            Stop: lambda command: driver.on_stop(command.status),
        }

    def close(self) -> None:
        """Close the sources, the NATS connections and the pipes."""
        self._sources.close()
        if self._nats is not None:
            self._nats.close()
        self.pipes.close()

    # -- connections -------------------------------------------------------------------------

    def _resolve(self, command: Resolve) -> None:
        if command.address.numeric:
            command.outgoing.resolved([command.address])
        elif not command.outgoing.vc.closed:
            Resolving(self._driver.offload.resolver, command)

    def _connect(self, command: Connect) -> None:
        vc = command.outgoing.vc
        if self._sources.connect_pipe(command):
            return
        if vc.closed or not (vc.port is None or isinstance(vc.port, Connecting)):
            return  # closed, or connected by an earlier attempt
        if command.address.scheme == "nats":
            self._open_nats(command)
            return
        try:
            if command.address.scheme == "udp":
                self._open_datagram(command, datagram.connected(command.address))
            elif command.address.scheme in SPECIAL:
                self._open_local(command, local.connected)
            elif isinstance(vc.port, Connecting):
                vc.port.start(command)
            else:
                Connecting(self._driver, vc).start(command)
        except OSError as error:
            command.outgoing.refused(command.address, connect_error(command, error))

    def _subscribe(self, command: Subscribe) -> None:
        if command.outgoing.vc.closed:
            return
        if command.address.scheme == "nats":
            self._open_nats(command)
            return
        try:
            if command.address.scheme in SPECIAL:
                self._open_local(command, local.subscribed)
            else:
                self._open_datagram(command, datagram.bound(command.address))
        except OSError as error:
            command.outgoing.refused(command.address, connect_error(command, error))

    def _open_datagram(self, command: Connect | Subscribe, sock: socket.socket) -> None:
        """Open a datagram socket as a VC's port. It is connected at once: UDP has no handshake."""
        outgoing = command.outgoing
        port = datagram.port(self._driver, sock)
        port.vc = outgoing.vc
        address = command.address
        outgoing.connected(address, port, lambda: show(sock.getsockname()), address.text)

    def _open_local(
        self,
        command: Connect | Subscribe,
        opened: Callable[[EpollDriver, Address], DescriptorPort | DatagramPort],
    ) -> None:
        """Open what is connected at once, as a VC's port. Raises OSError."""
        outgoing, address = command.outgoing, command.address
        port = opened(self._driver, address)
        port.vc = outgoing.vc
        outgoing.connected(address, port, lambda: address.text, address.text)

    def _open_nats(self, command: Connect | Subscribe) -> None:
        from vcproxy.drivers import nats  # imports asyncio, 15 ms that only NATS users should pay

        if self._nats is None:
            self._nats = nats.AsyncioThread(partial(self._driver.engine.log, "error"))
        nats.open_port(self._nats, command)

    def _shutdown_write(self, command: ShutdownWrite) -> None:
        vc = command.vc
        if vc.closed and vc.error is None:
            return  # the close that follows sends the end of stream
        if isinstance(vc.port, _WITH_AN_END):
            vc.port.shutdown_write()

    def _close(self, command: Close) -> None:
        vc = command.vc
        if vc.port is None:
            self._sources.abandon_pipe(vc)
            vc.gone()
        else:
            vc.port.close(command.abort)

    # -- calls on other threads --------------------------------------------------------------

    def _call(self, command: Call) -> None:
        inbox = self._driver.engine.inbox

        def done(value: object, error: Exception | None) -> None:
            inbox.feed(partial(self._called, command.number, value, error))

        pool = self._driver.offload.calls(command.pool)
        self._calls[command.number] = command.pool, pool.run(command.fn, command.args, done)

    def _called(self, number: int, value: object, error: Exception | None) -> None:
        if self._calls.pop(number, None) is not None:
            self._driver.engine.called(number, value, error)

    def _cancel_call(self, command: CancelCall) -> None:
        cancelled = self._calls.pop(command.number, None)
        if cancelled is not None:
            pool, job = cancelled
            self._driver.offload.calls(pool).cancel(job)

    # -- bridges -----------------------------------------------------------------------------

    def _start_bridge(self, command: StartBridge) -> None:
        bridge = command.bridge
        source, sink = bridge.ports
        pipe = self.pipes.borrow()
        if pipe is None or not isinstance(source, StreamPort) or not isinstance(sink, StreamPort):
            if pipe is not None:
                self.pipes.give_back(pipe)
            bridge.refuse()
        else:
            Splice(bridge, source, sink, pipe, self.pipes).move()

    def _end_bridge(self, command: EndBridge) -> None:
        source, _ = command.bridge.ports
        if isinstance(source, StreamPort) and source.bridged_out is not None:
            source.bridged_out.stop()

    # -- listeners ---------------------------------------------------------------------------

    def _resume_accept(self, command: ResumeAccept) -> None:
        self._driver.resume_accept(command.listener)
