"""modbus: many clients of Modbus/TCP share one connection to each device.

A device speaks Modbus/TCP, or RTU: over TCP, or on a serial line.

    [listener.options]
    read_only = true
    devices = [{ units = "1-9", upstream = "line", protocol = "rtu" }]
"""

from __future__ import annotations

from dataclasses import replace

from vcproxy import api

EXCEPTIONS = {
    api.Unanswered.NOT_SENT: api.ModbusError.BUSY,
    api.Unanswered.NO_SERVER: api.ModbusError.NO_PATH,
}
"""The exceptions for requests that are not answered. For other reasons: NO_RESPONSE."""


class Modbus(api.Splitter):
    """Checks requests, gives each an id of its own, and checks the replies."""

    Options = api.ModbusOptions
    options: api.ModbusOptions
    needs_upstream = None
    framing = api.mbap()
    exceptions = api.Counter(
        "modbus_exceptions", "Exceptions that the proxy sent.", labels=("code",)
    )

    def __init__(self, client: api.NetVConnection, service: api.Service) -> None:
        super().__init__(client, service)
        self.timeout_s = self.options.timeout
        self.queue_timeout_s = self.options.queue_timeout
        upstream = service.upstream
        self._routes = self.options.routes(None if upstream is None else upstream.name)

    @classmethod
    def upstreams(cls, options: api.ModbusOptions) -> dict[tuple[str | int, ...], str | None]:
        """See Session: without devices there must be an upstream."""
        return {} if options.devices else {("devices",): None}

    @classmethod
    def unfit_server(cls, options: api.ModbusOptions, place: str, server: api.Address) -> str:
        """See Splitter: no device on a line understands frames of Modbus/TCP."""
        lacks = server.scheme == "serial" and options.protocol_at(place) == "tcp"
        return 'a serial line needs protocol = "rtu" where its upstream is named' if lacks else ""

    @classmethod
    def split_rules(cls, options: api.ModbusOptions, place: str) -> api.SplitRules:
        """See Splitter: an RTU line has framings of its own, no ids, and takes one request."""
        # Three silences in a row: one may be of a unit that is switched off.
        rules = replace(super().split_rules(options, place), shares_s=options.cache, silences=3)
        if options.protocol_at(place) == "tcp":
            return replace(rules, in_flight=options.in_flight)
        requests, replies = api.modbus_rtu("request"), api.modbus_rtu("reply")
        return replace(rules, framing=replies, forwarding=requests, split=rtu_parts, in_flight=1)

    @classmethod
    def split(cls, reply: bytes, options: api.ModbusOptions) -> tuple[api.Part]:
        """See Splitter: the key is the id that the request was given."""
        return (api.Part(int.from_bytes(reply[:2], "big"), reply),)

    def place(self, request: bytes) -> str | None:
        """See Splitter: the unit id decides."""
        return self._routes[request[6]].upstream

    def key(self, request: bytes) -> api.Keyed | api.Resend:
        """Return the request as it is sent, or the exception that answers it."""
        upstream, unit, is_rtu = self._routes[request[6]]
        if upstream is None:
            return self._refused(request, api.ModbusError.NO_PATH)
        if is_rtu and unit == 0:  # all devices of the line, of which none answers
            return self._refused(request, api.ModbusError.NO_PATH)
        checked = self.options.checked(request[6], request[7:])
        if isinstance(checked, api.ModbusError):
            return self._refused(request, checked)
        pdu, changes = checked.pdu, checked.changes
        self.attempts = 1 if changes else self.options.attempts
        shares = None if changes or not self.options.cache else (unit, pdu)
        if is_rtu:
            return api.Keyed((unit, pdu[0]), api.rtu_frame(unit, pdu), shares)
        number = self.fresh_id(1 << 16)
        return api.Keyed(number, api.mbap_frame(number, unit, pdu), shares)

    def restore(self, request: bytes, part: bytes) -> bytes:
        """Return the reply with the ids of the request, or exception 11 if it is not its reply."""
        _, unit, is_rtu = self._routes[request[6]]
        answering, pdu = (part[0], part[1:-2]) if is_rtu else (part[6], part[7:])
        asked = api.parse_modbus_request(request[7:])
        if answering != unit or isinstance(asked, api.ModbusError) or not asked.answered_by(pdu):
            text = f"{part.hex()} is not the reply to {request.hex()}"
            self.log_seldom("wrong reply", text, "warning")
            self.count("wrong_replies")
            return self._exception(request, api.ModbusError.NO_RESPONSE)
        return request[:4] + (len(pdu) + 1).to_bytes(2, "big") + request[6:7] + pdu

    def unanswered(self, request: bytes, why: api.Unanswered) -> bytes:
        """Return the exception for the reason."""
        return self._exception(request, EXCEPTIONS.get(why, api.ModbusError.NO_RESPONSE))

    def _refused(self, request: bytes, error: api.ModbusError) -> api.Resend:
        return api.Resend(self._exception(request, error), f"exception {error:d}, not forwarded")

    def _exception(self, request: bytes, error: api.ModbusError) -> bytes:
        self.exceptions.add(code=str(int(error)))
        return api.mbap_frame(
            int.from_bytes(request[:2], "big"), request[6], error.reply(request[7])
        )


def rtu_parts(reply: bytes) -> tuple[api.Part]:
    """Return the part of a reply of an RTU line: the key is its unit and its function."""
    return (api.Part((reply[0], reply[1] & 0x7F), reply),)
