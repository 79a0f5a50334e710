"""validate: pass only messages that are valid, and answer the others.

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
    """Judges each message by itself. The server is connected to after the first valid one."""

    @dataclass(frozen=True)
    class Options(RefusingOptions):
        """What is valid, and what is said."""

        required: list[str] = field(default_factory=list)
        """Members that each message must have; it is then a JSON object. With framing =
        "json-lines" it is JSON anyway."""

        pattern: re.Pattern[str] | None = None
        """A regular expression that the whole of each message, then UTF-8 text, must match."""

        wait: str = ""
        """The message that tells the client of a valid one that the server is at work; empty:
        none."""

        in_turn: bool = False
        """Whether the server answers each message with exactly one: then answers to messages that
        are not valid come in their turn."""

        def __post_init__(self) -> None:
            super().__post_init__()
            self.encode_text(self.wait)

        @cached_property
        def verdicts(self) -> tuple[Verdict, Verdict]:
            """What a message gets: that is valid, that is not."""
            return Accept(wait=self.encode_text(self.wait)), Reject(self.refusal, self.keep)

    def __init__(self, client: NetVConnection, service: Service) -> None:
        options = service.options
        assert isinstance(options, Validate.Options)
        self.framing = options.message_framing
        self.in_turn = options.in_turn
        self._valid, self._invalid = options.verdicts
        self._required = options.required
        self._pattern = options.pattern
        self._is_json = options.framing == "json-lines" or bool(options.required)
        super().__init__(client, service)

    def check(self, message: bytes) -> Verdict:
        """Look at its form and its members."""
        try:
            return self._valid if self._is_valid(message) else self._invalid
        except ValueError:  # it is no text, or no JSON
            return self._invalid

    def _is_valid(self, message: bytes) -> bool:
        if self._pattern is not None and not self._pattern.fullmatch(message.decode()):
            return False
        if not self._is_json:
            return True
        value = parse_json(message)
        required = self._required
        return not required or (isinstance(value, dict) and all(key in value for key in required))
