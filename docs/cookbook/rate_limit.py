"""rate_limit: limit the messages per second of one address, over all of its connections.

    [[listener]]
    name = "limited"
    bind = "tcp://127.0.0.1:15304"
    plugin = "rate_limit.py"
    upstream = "shop"
    options.per_second = 10
    [upstream.shop]
    servers = ["tcp://127.0.0.1:8080"]

Each net thread counts separately.
"""

from collections import Counter
from dataclasses import dataclass
from typing import Annotated

from pydantic import Field

from vcproxy.api import Accept, Resend, Validator, Verdict


class Window:
    """How many messages each address has sent in the current second."""

    def __init__(self) -> None:
        self.second = 0
        self.counts: Counter[str] = Counter()


class RateLimit(Validator):
    @dataclass(frozen=True)
    class Options:
        per_second: Annotated[int, Field(ge=1)]
        """Messages per second of one address."""

    options: Options
    in_turn = True

    def check(self, message: bytes) -> Verdict:
        window, second = self.service.share(Window), int(self.now)
        if window.second != second:
            window.second, window.counts = second, Counter()
        window.counts[self.client_address] += 1
        if window.counts[self.client_address] > self.options.per_second:
            return Resend(b"too fast\n")
        return Accept()
