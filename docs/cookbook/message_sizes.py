"""message_sizes: log the size of each message, in both directions, and change nothing.

[[listener]]
name = "sizes"
bind = "tcp://127.0.0.1:15305"
plugin = "message_sizes.py"
upstream = "shop"
options = { framing = "length-prefix", width = 4 }
[upstream.shop]
servers = ["tcp://127.0.0.1:8080"]
"""

from collections.abc import Callable

from vcproxy.api import Forwarder, Framing, FramingOptions


class Sizes:
    """A transform that changes nothing."""

    def __init__(self, framing: Framing, log: Callable[[str], None]) -> None:
        self.decoder = framing.decoder()
        self.log = log

    def feed(self, data: bytes) -> bytes:
        for message in self.decoder.feed(data):
            self.log(f"{len(message)} bytes")
        return data

    def finish(self) -> bytes:
        self.decoder.finish()
        if self.decoder.fault:
            self.log(self.decoder.fault.value)
        return b""


class MessageSizes(Forwarder):
    Options = FramingOptions
    options: FramingOptions

    def upward(self) -> Sizes:
        return Sizes(self.options.message_framing, lambda text: self.log(f"request: {text}"))

    def downward(self) -> Sizes:
        return Sizes(self.options.message_framing, lambda text: self.log(f"reply: {text}"))
