"""syslog: checks messages of many senders, and forwards them with the senders' addresses.

[[listener]]
bind = ["udp://0.0.0.0:514", "tcp://0.0.0.0:514"]
options = { encoding = "newline", sender = "replace" }
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, Literal

from pydantic import Field

from vcproxy import api


class Syslog(api.Validator):
    """One sender: a connection, or an address that sends datagrams. It gets no answers."""

    @dataclass(frozen=True)
    class Options:
        """Which messages are forwarded, and how."""

        encoding: Literal["octet-counting", "newline"] = "octet-counting"
        """How messages are sent to servers at tcp:// and tls:// (RFC 6587). With "newline", a
        newline inside a message becomes #012 and a NUL #000, as in rsyslog: at either of them
        servers end a message. At udp:// each is a datagram."""

        sender: Literal["fill", "replace", "origin", "keep"] = "fill"
        """Where the sender's address is added. "fill": as the host of messages without one, as
        rsyslog does. "replace": as the host of all, as syslog-ng does. "origin": as the last `ip`
        of the structured data `origin`; messages of RFC 3164 have none, and are filled. "keep":
        nowhere."""

        rfc3164: bool = True
        """Whether messages without a version are forwarded: the format before RFC 5424."""

        largest: Annotated[api.Size, Field(ge=480)] = 8096
        """The longest message that is sent, in bytes: by default as long as rsyslog takes it. Every
        server must take 480 (RFC 5424)."""

        longer: Literal["cut", "refuse"] = "cut"
        """What is done with a longer one, up to 64 KiB. An even longer one ends its connection."""

        nul: bool = False
        """Whether NUL ends a message too, as in those of Python's SysLogHandler over TCP."""

        idle: api.Duration = 10.0
        """How long an address keeps its connection to the server after its last datagram."""

        @cached_property
        def framings(self) -> tuple[api.Framing, api.Framing]:
            """The framings of streams: of the senders, and of the server."""
            longest = max(self.largest, 64 << 10)
            return api.rfc6587(limit=longest, nul=self.nul), api.rfc6587(self.encoding, longest)

    datagrams = True
    datagram_framing = api.UNFRAMED
    counts_requests = True
    one_way = True
    refused = api.Counter("syslog_refused", "Messages that were refused.", labels=("why",))

    def __init__(self, client: api.NetVConnection, service: api.Service) -> None:
        options = service.options
        assert isinstance(options, Syslog.Options)
        self.framing, self.forwarding = options.framings
        super().__init__(client, service)
        if client.message_oriented:
            client.set_inactivity_timeout(options.idle)

    def check(self, message: bytes) -> api.Verdict:
        """Forward a message that is valid, within the rate, and not too long."""
        options = self.options
        if not self.within_rate():
            return self._drop("rate", "its sender exceeds the rate")
        message = message.rstrip(b"\r\n\0")  # SysLogHandler of Python ends messages with NUL
        if options.encoding == "newline":
            message = message.replace(b"\n", b"#012").replace(b"\0", b"#000")
        parsed = api.SyslogMessage.parse(message)
        if isinstance(parsed, api.SyslogFault):
            return self._drop(parsed.name.lower(), parsed.value)
        if not (parsed.version or options.rfc3164):
            return self._drop("version", "it has no version: it is one of RFC 3164")
        parsed = self._with_sender(parsed)
        cut = parsed.cut(options.largest)
        if cut is None or (cut is not parsed and options.longer == "refuse"):
            return self._drop("size", "it is longer than the option `largest`")
        return api.Accept(cut.data)

    def _with_sender(self, message: api.SyslogMessage) -> api.SyslogMessage:
        way, address = self.options.sender, self.client_address
        if way == "keep" or not address:  # a client at a Unix socket has none
            return message
        if way == "origin" and message.version:
            return message.with_origin(address)
        fills = way == "replace" or not message.host
        return message.with_host(address, self.wall) if fills else message

    def _drop(self, why: str, text: str) -> api.Verdict:
        """Drop a message: syslog has no answers. An excess is logged where it is counted."""
        self.refused.add(why=why)
        if why != "rate":
            self.log_seldom(why, f"a message is refused: {text}", "warning")
        return api.Reject(keep=True, why=text)
