"""RecordTemplates: writes the records of requests that have ended in order.

Most values are equal for many requests. So there is a template for each form of request, server and
status, with all values but those of the client, the target, sizes and times: filling one in takes a
fifth of the time of writing a whole record. Tested in tests/http/direct and
tests/http/proxy/test_access_log.py.
"""

from __future__ import annotations

from collections.abc import Callable
from operator import itemgetter
from typing import TYPE_CHECKING, NamedTuple

from vcproxy.access_log.ending import NORMAL_END
from vcproxy.http.message.fields import Fields
from vcproxy.http.proxy.destination import destination
from vcproxy.http.proxy.routing import Route

if TYPE_CHECKING:
    from vcproxy.access_log.log import AccessLog
    from vcproxy.access_log.pattern import Encoder, Pattern
    from vcproxy.http.message.head_cache import HeadCache
    from vcproxy.http.proxy.connection_log import ConnectionLog
    from vcproxy.http.proxy.options import Options

MAX_TEMPLATES = 512
"""Templates of one listener: 1 MiB, if all heads are as large as the largest that are cached."""

CHANGING = (
    "time", "id", "forwarded_for", "target", "bytes_up", "bytes_down", "time_queue", "time_connect",
    "time_first_byte", "time_total",
)  # fmt: skip
"""Fields of a request that are not in a template, besides those of the client."""

ALWAYS = 500
"""The lowest status of responses that no sample leaves out."""

PASSED_ON = ("time", "id", "target", "bytes_down", "time_first_byte", "time_total")
"""Of these, the fields that differ where a client sends a request of the same form again."""

MILLISECONDS = b"%.1f"
"""How all formats write a time, and numbers as in "%d": the most frequent ones are written so
without a call."""

CLIENT = ("client", "proxied_by", "tls", "cipher", "sni", "alpn", "certificate")
"""Fields of the client."""

NORMAL = str(NORMAL_END)

VERSIONS = {10: "HTTP/1.0", 11: "HTTP/1.1"}


class RecordForm(NamedTuple):
    """What the requests of one template have in common."""

    method: str
    host: str
    version: int
    block: bytes
    """The fields: see Fields."""
    status: int
    answered_by: str | None
    route: str | None
    upstream: str | None
    server: str
    end: str = NORMAL

    def values(self) -> dict[str, object]:
        """Return the values of a template."""
        fields = Fields(self.block[2:])
        return {
            "method": self.method,
            "host": self.host or None,
            "version": VERSIONS[self.version],
            "referer": _text(fields, "Referer"),
            "user_agent": _text(fields, "User-Agent"),
            "request_id": _text(fields, "X-Request-Id"),
            "status": self.status or None,
            "answered_by": self.answered_by,
            "route": self.route,
            "upstream": self.upstream,
            "server": self.server or None,
            "end": self.end,
        }


def _text(fields: Fields, name: str) -> str | bytes | None:
    """Return the value of a field, as bytes if it is not ASCII: most likely it is UTF-8 then."""
    value = fields.get(name)
    return value if value is None or value.isascii() else value.encode("latin-1")


class Template(NamedTuple):
    """A template of lines."""

    text: bytes
    """For the operator %."""
    of: Callable[[dict[str, bytes]], object]
    """Returns what the text is filled with, of the values by field."""
    names: tuple[str, ...]
    """The fields of these values."""


def _template(text: bytes, names: tuple[str, ...]) -> Template:
    return Template(text, itemgetter(*names) if names else lambda values: (), names)


def _filled(template: Template, values: dict[str, bytes]) -> Template:
    """Return a template that has all values but those that are new for each request."""
    # No encoded value has a NUL: it stands for what is still to be filled in.
    text = template.text % template.of(values | dict.fromkeys(PASSED_ON, b"\0"))
    text = text.replace(b"%", b"%%").replace(b"\0", b"%b")
    return _template(text, tuple(name for name in template.names if name in PASSED_ON))


class RecordTemplates:
    """One for each listener and net thread."""

    __slots__ = (
        "_all",
        "_began_s",
        "_by_target",
        "_encoders",
        "_heads",
        "_log",
        "_now",
        "_options",
        "_target_form",
        "_templates",
        "_time",
        "_time_form",
        "_took",
        "encode_size",
        "encode_target",
        "encode_time",
        "no_time",
        "not_forwarded",
        "pattern",
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
        self._templates: dict[tuple[object, ...], Template] = {}
        self._encoders = dict(zip(pattern.names, pattern.encoders, strict=True))
        self.encode_size = self._encoder("bytes_down")
        """Encode a number of bytes, a target, a time: as the pattern has them."""
        self.encode_target = self._encoder("target")
        self.encode_time = self._encoder("time_total")
        self.no_time = self.encode_time(None)
        """A time that there is not."""
        self.not_forwarded = self._encoder("forwarded_for")(None)
        """The absent address of a client behind a trusted proxy."""
        self._time_form = self._encoder("time")("%b")
        self._target_form = self.encode_target("%b")
        self._began_s = self._now = -1.0  # of the last request, with its encoded times:
        self._time = self._took = b""

    def write_direct(
        self,
        client: ConnectionLog,
        request: bytes,
        upstream: str,
        server: str,
        message: bytes,
        began_s: float,
        number: int,
    ) -> None:
        """Write the record of a request that took the direct path, and of the `message` that the
        client was sent.

        `request` is its head as it was received, `number` its number on the connection.
        """
        log = self._log
        if not (self._all or log.takes(int(message[9:12]) < ALWAYS)):
            return
        now = log.engine.now
        if began_s != self._began_s or now != self._now:  # many requests have the same times
            self._began_s, self._now = began_s, now
            self._time = self._time_form % log.time(began_s)
            self._took = MILLISECONDS % ((now - began_s) * 1000)
        values = client.encoded or self.encode(client)
        values["time"] = self._time
        values["id"] = client.id_form % number
        values["bytes_down"] = b"%d" % (len(message) - message.find(b"\r\n\r\n") - 4)
        values["time_first_byte"] = values["time_total"] = self._took
        line = request.find(b"\r\n")
        target = request[4 : line - 9]
        if b'"' in target or b"\\" in target:
            values["target"] = self.encode_target(target)
        else:  # visible ASCII: see DirectHeads
            values["target"] = self._target_form % target
        place = request if self._by_target else request[line:], server, message[9:12]
        if place != client.place or client.extra:
            client.place = place
            client.template = None
            text, of, _ = self._direct(client, request, place, upstream)
        elif client.template is not None:
            text, of, _ = client.template
        else:  # the second one of this form in succession
            found = self._direct(client, request, place, upstream)
            text, of, _ = found
            client.template = _filled(found, values)
        log.written += 1
        log.sink(text % of(values))  # log.write() inlined

    def _direct(
        self,
        client: ConnectionLog,
        request: bytes,
        place: tuple[bytes, str, bytes],
        upstream: str,
    ) -> Template:
        """Return the template for a request on the direct path."""
        _, server, status = place
        extra = client.extra
        template = None if extra else self._templates.get(place)
        if template is not None:
            return template
        parsed = self._heads.request(request)
        route = destination(parsed, self._options)
        form = RecordForm(
            parsed.method,
            parsed.host,
            parsed.version,
            parsed.fields.block,
            int(status),
            None,
            route.label if isinstance(route, Route) else None,
            upstream,
            server,
        )
        return self._made(place, form, {"extra": extra} if extra else None)

    def write(
        self,
        form: tuple[object, ...],
        values: dict[str, bytes],
        more: dict[str, object] | None,
    ) -> None:
        """Write the record of a request.

        Args:
            form: as RecordForm has it.
            values: the encoded values of the client, and of the fields of CHANGING.
            more: the values of further fields; None: there are none.
        """
        template = None if more else self._templates.get(form)
        if template is None:
            template = self._made(form, RecordForm._make(form), more)
        text, of, _ = template
        self._log.write(text % of(values))

    def encode(self, client: ConnectionLog) -> dict[str, bytes]:
        """Set what is encoded of a client, and return its values: with those that all requests on
        the direct path have."""
        client.encoded = {name: self._encoder(name)(client.values.get(name)) for name in CLIENT} | {
            "forwarded_for": self.not_forwarded,
            "bytes_up": self.encode_size(0),
            "time_queue": self.encode_time(0.0),
            "time_connect": self.no_time,
        }
        client.id_form = self._encoder("id")(f"{client.connection_id}-%d")
        return client.encoded

    def values(self, client: ConnectionLog, began_s: float, number: int) -> dict[str, bytes]:
        """Return the encoded values of a request that ends now, as far as they are those of a
        request on the direct path."""
        now = self._log.engine.now
        if began_s != self._began_s or now != self._now:
            self._began_s, self._now = began_s, now
            self._time = self._time_form % self._log.time(began_s)
            self._took = MILLISECONDS % ((now - began_s) * 1000)
        values = (client.encoded or self.encode(client)).copy()
        values["time"] = self._time
        values["id"] = client.id_form % number
        values["time_total"] = self._took
        return values

    def encoded_address(self, address: str) -> bytes:
        """Return the encoded value of the field `forwarded_for`."""
        return self._encoder("forwarded_for")(address)

    def _encoder(self, name: str) -> Encoder:
        """Return what encodes the values of a field; if the pattern does not have it, anything."""
        return self._encoders.get(name, lambda value: str(value).encode())

    def _made(
        self, place: tuple[object, ...], form: RecordForm, more: dict[str, object] | None
    ) -> Template:
        """Return a new template. Without `more` it is stored; a full table is cleared."""
        values, varying = form.values() | (more or {}), {*CHANGING, *CLIENT}
        names = [name for name in self.pattern.names if name not in varying]
        pattern = self.pattern.filled({name: values.get(name) for name in names})
        template = _template(pattern.template, pattern.names)
        if not more:
            if len(self._templates) >= MAX_TEMPLATES:
                self._templates.clear()
            self._templates[place] = template
        return template
