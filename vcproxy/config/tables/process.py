"""The tables of the process: [proxy], [supervise], [http] and [record].

Tested in tests/config/test_problems.py and test_loader.py.
"""

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, PlainValidator, WithJsonSchema

from vcproxy.config.log_target import LogTarget
from vcproxy.config.values import Duration, Endpoint, FilePath, Size, Table, positive
from vcproxy.engine.address import Address


def _worker_count(value: object) -> object:
    if value == "auto" or (type(value) is int and value > 0):
        return value
    raise ValueError('must be a whole number above 0, or "auto"')


class ProxyTable(Table):
    """The process as a whole."""

    net_threads: Annotated[int, Field(ge=1)] = 1
    """Threads that move traffic. More of them isolate listeners from each other; they add speed
    only on a Python without the global lock."""

    workers: Annotated[
        int | Literal["auto"],
        PlainValidator(_worker_count),
        WithJsonSchema({"anyOf": [{"type": "integer", "minimum": 1}, {"const": "auto"}]}),
    ] = 1
    """Processes that serve clients, so that as many processors are used. "auto": as many as there
    are processors that this process may use. With more than 1, a master process starts and replaces
    them, and `memory` and all limits are divided among them: see the page on several cores."""

    worker_timeout: Duration = 30.0
    """With more than one worker: a worker in which a net thread does not turn for so long is
    killed, after the stacks of its threads were logged, and replaced. A slow client or server has
    no effect. It is longer than a start or a machine that swaps takes. "0s": no limit."""

    memory: Size = 256 << 20
    """The budget for all data and connections that are held for clients and servers: 2000 slow
    readers with 128 KiB each, or 3,840 idle connections with TLS, 64 KiB each. When it is used
    up, reading pauses, except for small requests. Then connections whose peer does not read are
    closed, the largest first; then idle ones with TLS, the longest idle first."""

    drain_timeout: Duration = 10.0
    """How long a stopping proxy waits for its connections to end: less than the 30 seconds that
    most service managers allow."""

    splice: bool = True
    """Whether bulk traffic between plain sockets may be moved by the kernel, without a copy."""

    slow_callback: Duration = 0.25
    """A plugin's callback that takes longer than this is logged with its stack, and its connection
    is closed, because all other connections of the thread were delayed. "0s": no limit."""

    user: Annotated[str, Field(min_length=1)] | None = None
    """The user as whom the proxy runs once its addresses are bound: a name or a number. Each worker
    changes to it; the master stays root, so that it can bind the addresses of a reload. The user
    needs access to certificates and keys for a reload, and to the folder of the log for SIGUSR1.
    Absent: the user who starts the proxy. Only root can change its user."""

    watch: bool = False
    """Whether a change of this file, of one that it includes or takes a value from, or of a plugin
    that is named by its file, is a reload, as after SIGHUP. A change with errors is refused and
    logged, and the old configuration stays. Certificate and key files are always watched: new ones
    serve new connections without a reload."""

    refused_messages: Annotated[int, Field(ge=0, le=10_000)] = 64
    """How many of the messages that were refused last are kept for `vcproxy ctl show errors`, in
    each net thread: heads of HTTP, messages of framings and validators, headers of the PROXY
    protocol. Of each, up to 256 bytes are kept in memory, in no file; the values of fields with
    credentials are replaced by stars, other data of clients is not. 0: none."""

    log: LogTarget | None = None
    """The file for the log; it is reopened on SIGUSR1. Or a log server (syslog, RFC 5424), written
    "syslog:" and its address: "syslog:udp://127.0.0.1:514", "syslog:tcp://logs.example:514",
    "syslog:tls://logs.example:6514?ca=logs.pem", "syslog:unix:/dev/log"; `?facility=local0`
    changes its facility, daemon. Absent: standard error. Lines that a slow or broken target does
    not accept are dropped and counted; traffic never waits for the log."""


def _list_address(address: Address) -> Address:
    loopback = address.numeric and (address.host.startswith("127.") or address.host == "::1")
    if address.scheme != "udp" or not loopback:
        raise ValueError(
            f"{address}: the list is given to all who ask: write udp://127.0.0.1:42000, or another "
            "port of a loopback address"
        )
    return address


class SuperviseTable(Table):
    """How often the master process of several workers starts them again, and where it lists
    them."""

    intensity: Annotated[int, Field(ge=0)] = 5
    """How many restarts of workers within `period` are allowed, of all workers together. One more
    ends the proxy with status 3: starting them again does not help. 0: the first end of a worker
    ends the proxy. (Erlang/OTP's word.)"""

    period: Annotated[Duration, AfterValidator(positive)] = 10.0
    """The period of `intensity`. A worker that ends at its start, again and again, makes five
    restarts in about 3 seconds: the first is immediate, the others wait longer each time."""

    bind: Annotated[Endpoint, AfterValidator(_list_address)] | None = None
    """Where `vcproxy machine list` finds the processes of this proxy: udp://127.0.0.1:42000 is the
    address that it asks by default. Absent: nowhere. Only `list` is answered there."""


class HttpTable(Table):
    """HTTP as a whole, for all listeners."""

    direct: bool = True
    """Whether requests that need no decision are passed on directly: a GET for which a server's
    connection is idle, while no filter, recording or trace needs it. Such a request takes about
    0.6 of the CPU time; what is sent, logged and counted is the same."""


def _pattern(text: str) -> str:
    try:
        re.compile(text.encode())
    except re.error as error:
        raise ValueError(f'"{text}" is not a regular expression: {error}') from None
    return text


class RecordTable(Table):
    """The recording of a run, for `vcproxy replay`."""

    file: FilePath
    """The log. It contains the data of clients and servers: only its owner may read it."""

    max_size: Size = 1 << 30
    """The maximum size: beyond it the run continues without being recorded. "0B": no limit."""

    redact: tuple[Annotated[str, AfterValidator(_pattern)], ...] = ()
    """Regular expressions: each match in a piece of received data is recorded as the same number of
    x. A redacted log can be read; its replay may diverge. A match split over two pieces is found
    only by `vcproxy log redact`, afterwards."""

    outputs: Literal["digest", "full"] = "digest"
    """How data sent by the proxy is recorded: as a digest, for comparison, or in full."""

    compress: bool = False
    """Whether to compress the log: text shrinks by half or more, at the cost of some CPU time."""
