"""The tables of listeners: [[listener]] and those in it.

Tested in tests/config/test_problems.py and test_loader.py.
"""

from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, Field

from vcproxy.config.tables.access_log import ListenerAccessLog
from vcproxy.config.tables.admission import Rates
from vcproxy.config.tables.network import Network
from vcproxy.config.tables.proxy_protocol import ListenerProxyProtocol
from vcproxy.config.tables.tcp import TcpTable
from vcproxy.config.tables.tls import ListenerTls
from vcproxy.config.values import (
    Duration,
    Endpoint,
    PluginName,
    Table,
    bindable,
    listed,
)


class LimitsTable(Table):
    """How many connections a listener accepts."""

    max_connections: Annotated[int, Field(ge=1)] | None = None
    """The maximum number of simultaneous client connections; at udp://, of client addresses.
    Absent: as many as the limit of descriptors allows, with one server connection for each client;
    this number is logged at the start. A higher value has no further effect."""

    max_per_client: Annotated[int, Field(ge=0)] = 0
    """The maximum number of simultaneous connections from one IP address. Further ones are refused,
    with TLS before the handshake. 0: no limit, because many clients may share one address."""


class TimeoutsTable(Table):
    """How long a listener waits. "0s": no limit."""

    handshake: Duration = 10.0
    """The limit for a client's PROXY header, and for its TLS handshake after that: enough for a few
    round trips over a bad mobile link."""

    connect: Duration = 5.0
    """The limit for connecting to a server: TCP retries two lost SYNs within 3 seconds."""

    inactivity: Duration = 300.0
    """The limit without data in either direction: longer than the usual keep-alive intervals. A
    datagram session ends only by this timeout."""

    active: Duration = 0.0
    """The limit for a whole connection, even a busy one: none, as tunnels may last for days."""


class ListenerTable(Table):
    """Addresses that accept clients, and the plugin that serves them."""

    name: Annotated[str, Field(min_length=1)]
    """The name of the listener in logs and metrics; unique."""

    bind: Annotated[
        tuple[Annotated[Endpoint, AfterValidator(bindable)], ...], BeforeValidator(listed)
    ] = ()
    """The addresses to listen on: one or a list. Leave it out if the plugin accepts no clients."""

    plugin: PluginName
    """The plugin that serves clients: a bundled name, "package.module:Class" or
    "path/file.py:Class". The class may be left out if the module defines only one plugin."""

    upstream: str | None = None
    """The name of the [upstream.NAME] that the plugin connects to."""

    options: dict[str, object] = {}
    """The plugin's own options."""

    tls: ListenerTls | None = None
    """Required for tls:// addresses, and only for those."""

    limits: LimitsTable = LimitsTable()
    """How many connections this listener accepts."""

    allow: tuple[Network, ...] | None = None
    """Networks whose clients are served, as "10.0.0.0/8"; the address is that of a PROXY header, if
    there is one. Absent: all. A client without an IP address, as at unix://, is always served."""

    deny: tuple[Network, ...] = ()
    """Networks whose clients are not served, even if they are in `allow`."""

    rate: Rates = ()
    """How often clients may connect, or send requests or datagrams: a table, or a list of tables,
    which are all obeyed. Absent: as often as they like."""

    timeouts: TimeoutsTable = TimeoutsTable()
    """How long this listener waits."""

    tcp: TcpTable = TcpTable()
    """How disappeared clients are detected."""

    access_log: ListenerAccessLog | None = None
    """How its access log differs from [access_log]; `false`: it has none."""

    proxy_protocol: ListenerProxyProtocol | None = None
    """The load balancers that announce their clients: { from = ["10.0.0.0/8"] }. Absent: no
    connection begins with a header."""

    half_close: bool = True
    """Whether one direction may end while the other continues. False: the first end closes both."""
