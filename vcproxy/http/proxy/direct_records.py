"""DirectRecords: writes the records of requests that took the direct path.

They are the lines that RequestRecord writes for such requests on the ordinary path. Most values are
equal for many requests: for each form of request, server and status there is a template with all
values but those of the client, the target, the size and the times. Tested in tests/http/direct.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vcproxy.access_log.ending import NORMAL_END
from vcproxy.http.proxy.destination import destination
from vcproxy.http.proxy.request_record import request_values
from vcproxy.http.proxy.routing import Route

if TYPE_CHECKING:
    from vcproxy.access_log.log import AccessLog
    from vcproxy.access_log.pattern import Encoder, Pattern
    from vcproxy.http.message.head_cache import HeadCache
    from vcproxy.http.proxy.connection_log import ConnectionLog
    from vcproxy.http.proxy.options import Options

MAX_TEMPLATES = 512
"""Templates of one listener: 1 MiB, if all heads are as large as the largest that are cached."""

PASSED_ON = ("time", "id", "target", "bytes_down", "time_first_byte", "time_total")
"""Fields of a request that are not in a template, besides those of the client."""


class DirectRecords:
    """One for each listener and net thread."""

    __slots__ = (
        "_all", "_by_target", "_encode_size", "_encode_target", "_encode_time", "_encoders",
        "_heads", "_log", "_options", "_templates", "_time_form", "pattern",
    )  # fmt: skip

    def __init__(
        self, log: AccessLog, pattern: Pattern, heads: HeadCache, options: Options
    ) -> None:
        """`pattern`: that of the log, with the values of the listener."""
        self._log = log
        self.pattern = pattern
        """See ConnectionLog."""
        self._heads = heads
        self._options = options
        self._by_target = len(options.routes) > 1  # whether the route may depend on the target
        self._all = log.settings.sample >= 1
        self._templates: dict[tuple[bytes, str, bytes], bytes] = {}
        self._encoders = dict(zip(pattern.names, pattern.encoders, strict=True))
        self._encode_time = self._encoder("time_total")
        self._encode_size = self._encoder("bytes_down")
        self._encode_target = self._encoder("target")
        self._time_form = self._encoder("time")("%b")

    def write(
        self,
        client: ConnectionLog,
        request: bytes,
        upstream: str,
        server: str,
        message: bytes,
        began_s: float,
        number: int,
    ) -> None:
        """Write the record of a request and of the `message` that the client was sent.

        `request` is its head as it was received, `number` its number on the connection.
        """
        log = self._log
        if not (self._all or log.takes(True)):
            return
        line = request.find(b"\r\n")
        took = self._encode_time(log.engine.now - began_s)
        values = client.encoded or self._encode(client)
        values[b"time"] = self._time_form % log.time(began_s)
        values[b"id"] = client.id_form % number
        values[b"target"] = self._encode_target(request[4 : line - 9])
        values[b"bytes_down"] = self._encode_size(len(message) - message.find(b"\r\n\r\n") - 4)
        values[b"time_first_byte"] = values[b"time_total"] = took
        status = message[9:12]
        key = request if self._by_target else request[line:], server, status
        template = self._templates.get(key)
        if template is None or client.extra:
            template = self._template(client, request, upstream, server, int(status))
            if not client.extra:
                if len(self._templates) >= MAX_TEMPLATES:
                    self._templates.clear()
                self._templates[key] = template
        log.write(template % values)

    def _encoder(self, name: str) -> Encoder:
        """Return what encodes the values of a field; if the pattern does not have it, anything."""
        return self._encoders.get(name, lambda value: str(value).encode())

    def _encode(self, client: ConnectionLog) -> dict[bytes, bytes]:
        """Return the values of a client, by field."""
        client.encoded = {
            name.encode(): self._encoders[name](value)
            for name, value in client.values.items()
            if name in self._encoders
        } or {b"": b""}
        client.id_form = self._encoder("id")(f"{client.connection_id}-%d")
        return client.encoded

    def _template(
        self, client: ConnectionLog, head: bytes, upstream: str, server: str, status: int
    ) -> bytes:
        request = self._heads.request(head)
        route = destination(request, self._options)
        values = request_values(request) | {
            "status": status,
            "route": route.label if isinstance(route, Route) else None,
            "upstream": upstream,
            "server": server,
            "bytes_up": 0,
            "time_queue": 0.0,
            "end": str(NORMAL_END),
            "extra": client.extra,
        }
        varying = {*client.values, *PASSED_ON}
        names = [name for name in self.pattern.names if name not in varying]
        return self.pattern.filled({name: values.get(name) for name in names}).keyed_template
