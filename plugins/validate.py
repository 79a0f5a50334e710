"""validate: forward only valid messages, and answer the others.

[listener.options]
framing = "json-lines"
required = ["id", "op"]
answer = '{"error": "not valid"}'
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import cached_property

from vcproxy.api import (
    Accept,
    NetVConnection,
    RefusingOptions,
    Reject,
    Service,
    Validator,
    Verdict,
    parse_json,
)


class Validate(Validator):
    """Checks each message separately. It connects to the server after the first valid one."""

    datagrams = True

    @dataclass(frozen=True)
    class Options(RefusingOptions):
        """Which messages are valid, and how the client is answered."""

        required: list[str] = field(default_factory=list)
        """Members that each message, then a JSON object, must have. With framing = "json-lines"
        each message must be JSON anyway."""

        pattern: re.Pattern[str] | None = None
        """A regular expression that the whole of each message, then UTF-8 text, must match."""

        wait: str = ""
        """The message that is sent to the client at once for a valid message; empty: none."""

        in_turn: bool = False
        """Whether the server sends exactly one reply for each message. Then answers to messages
        that are not valid are sent in the order of the messages."""

        def __post_init__(self) -> None:
            super().__post_init__()
            self.encode_text(self.wait)

        @cached_property
        def verdicts(self) -> tuple[Verdict, Verdict]:
            """The verdict on a valid message, and the verdict on an invalid one."""
            return Accept(wait=self.encode_text(self.wait)), Reject(self.refusal, self.keep)

    def __init__(self, client: NetVConnection, service: Service) -> None:
        options = service.options
        assert isinstance(options, Validate.Options)
        self.framing = options.message_framing
        self.in_turn = options.in_turn
        self.replies = options.reply_framing if options.in_turn else None
        self._valid, self._invalid = options.verdicts
        self._required = options.required
        self._pattern = options.pattern
        self._is_json = options.framing == "json-lines" or bool(options.required)
        super().__init__(client, service)

    def check(self, message: bytes) -> Verdict:
        """Check the message against `pattern`, parse it as JSON, and check its members."""
        try:
            return self._valid if self._is_valid(message) else self._invalid
        except ValueError:  # not UTF-8, or not JSON
            return self._invalid

    def _is_valid(self, message: bytes) -> bool:
        if self._pattern is not None and not self._pattern.fullmatch(message.decode()):
            return False
        if not self._is_json:
            return True
        value = parse_json(message)
        required = self._required
        return not required or (isinstance(value, dict) and all(key in value for key in required))
