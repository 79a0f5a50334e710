"""rate_limit: so many messages a second from one address, however many connections it has.

    [[listener]]
    name = "limited"
    bind = "tcp://127.0.0.1:15304"
    plugin = "rate_limit.py"
    upstream = "shop"
    options.per_second = 10
    [upstream.shop]
    servers = ["tcp://127.0.0.1:8080"]

Each net thread counts for itself.
"""

from collections import Counter
from dataclasses import dataclass
from typing import Annotated

from pydantic import Field

from vcproxy.api import Accept, Resend, Validator, Verdict


class Window:
    """What each address has said in the current second: what it said before is forgotten."""

    def __init__(self) -> None:
        self.second = 0
        self.said: Counter[str] = Counter()


class RateLimit(Validator):
    @dataclass(frozen=True)
    class Options:
        per_second: Annotated[int, Field(ge=1)]
        """Messages of one address."""

    options: Options
    in_turn = True

    def check(self, message: bytes) -> Verdict:
        window, second = self.service.share(Window), int(self.engine.now)
        if window.second != second:
            window.second, window.said = second, Counter()
        window.said[self.client_address] += 1
        if window.said[self.client_address] > self.options.per_second:
            return Resend(b"too fast\n")
        return Accept()
