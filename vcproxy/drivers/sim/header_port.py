"""HeaderPort: a simulated connection whose PROXY header has not been read yet.

Tested in tests/drivers/test_sim_proxy_header.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vcproxy.drivers.sim.packets import PacketEndpoint
from vcproxy.drivers.sim.port import SimPort
from vcproxy.drivers.sim.tls_stream import wrap_tls
from vcproxy.engine.address import address_of
from vcproxy.engine.address_parameters import is_address
from vcproxy.engine.failures import HeaderRefused
from vcproxy.proxy_protocol.parser import InvalidHeader, header_size

if TYPE_CHECKING:
    from vcproxy.drivers.sim.link import Endpoint
    from vcproxy.drivers.sim.port_driver import PortDriver
    from vcproxy.drivers.sim.virtual_clock import VirtualClock
    from vcproxy.engine.listener import Listener


def accepted_port(
    driver: PortDriver, listener: Listener, endpoint: Endpoint, tls: object, clock: VirtualClock
) -> SimPort:
    """Return the port of an accepted connection, with its new VC. `tls` is None for a plain one."""
    port: SimPort
    if listener.awaits_header(endpoint.peer):
        port = HeaderPort(driver, endpoint, tls, clock)
    else:
        port = SimPort(driver, wrap_tls(endpoint, tls, clock, server_side=True))
    port.vc = driver.engine.accepted(
        listener,
        port,
        endpoint.peer,
        secure=tls is not None,
        message_oriented=isinstance(endpoint, PacketEndpoint),
        local=endpoint.local if is_address(address_of(endpoint.local)) else "",  # a name
    )
    return port


class HeaderPort(SimPort):
    """Reads the header, and no byte after it; then a SimPort takes its place."""

    __slots__ = ("_clock", "_endpoint", "_tls")

    def __init__(
        self, driver: PortDriver, endpoint: Endpoint, tls: object, clock: VirtualClock
    ) -> None:
        super().__init__(driver, endpoint)
        self._endpoint = endpoint
        self._tls = tls
        self._clock = clock

    def continue_handshake(self) -> None:
        """Look at what has come; pass a complete header to the engine."""
        vc, endpoint = self.vc, self._endpoint
        if vc.closed or vc.port is not self:  # an edge from before the header was complete
            return
        data = bytes(endpoint.incoming.arrived)
        try:
            size = header_size(data)
        except InvalidHeader:
            self._driver.trace_call("introduced", vc, len(data))
            vc.introduced(data)  # the engine finds the same mistake
            return
        if size and len(data) >= size:
            self._complete(size)
        elif endpoint.error is not None:
            self._fail(endpoint.error)
        elif endpoint.incoming.ended and not data:
            self._fail(ConnectionResetError("connection closed before its PROXY header"))
        elif endpoint.incoming.ended:
            text = f"it ended the connection within its PROXY header, after {len(data)} bytes"
            self._fail(HeaderRefused(text))

    def _complete(self, size: int) -> None:
        vc, endpoint, driver = self.vc, self._endpoint, self._driver
        head = b""
        while len(head) < size:
            head += endpoint.recv(size - len(head)) or b""
        port = SimPort(driver, wrap_tls(endpoint, self._tls, self._clock, server_side=True))
        port.vc = vc
        vc.port = port
        driver.trace_call("introduced", vc, size)
        vc.introduced(head)
        if not vc.closed:
            port.continue_handshake()
            driver.edge(port)
