"""mllp: HL7 version 2 over MLLP. Messages are verified before a receiver gets them, and all senders
share one connection to each receiver. Where no receiver answers, the proxy does, with AE or AR.

    [listener.options]
    accept = { MSH-9 = ["ADT", "ORU^R01"], MSH-12 = ["2.5.1"] }
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Annotated

from pydantic import Field

from vcproxy import api


@dataclass(frozen=True)
class Route:
    """Messages that go to an upstream."""

    where: api.Hl7Fields
    """Fields of MSH, each with the values of these messages."""
    upstream: api.UpstreamName
    """The upstream that receives them."""


class Mllp(api.Splitter):
    """Sends each message to its receiver, and the answer to the client that sent the message."""

    @dataclass(frozen=True)
    class Options:
        """Which messages are accepted, where they go, and how long they wait."""

        accept: api.Hl7Fields | None = None
        """Fields of MSH, each with the values that it may have. A message with another is answered
        AR for MSH-9, MSH-11 and MSH-12, otherwise AE. Without it only the form is verified."""
        routes: tuple[Route, ...] = ()
        """Which messages go to another upstream than the listener's: the first that matches."""
        in_flight: Annotated[int, Field(ge=0)] = 1
        """How many messages a receiver may have that it has not answered; 0: no limit."""
        timeout: Annotated[api.Duration, Field(gt=0)] = 30.0
        """How long a receiver may take to answer; then the sender gets AE."""
        queue_timeout: Annotated[api.Duration, Field(gt=0)] = 30.0
        """How long a message waits for its turn, and for a connection; then the sender gets AR."""
        attempts: Annotated[int, Field(ge=1)] = 1
        """How often a message is sent while it is not answered. With more than 1 a receiver may get
        a message twice: it must compare MSH-10."""
        limit: Annotated[api.Size, Field(ge=16 << 10)] = 1 << 20
        """The longest message and answer. An answer of the proxy has less than 16 KiB."""

    options: Options
    refused = api.Counter("hl7_refused", "Messages that the proxy has answered.", labels=("code",))

    def __init__(self, client: api.NetVConnection, service: api.Service) -> None:
        options = service.options
        assert isinstance(options, Mllp.Options)
        self.framing = api.mllp(options.limit)
        self.timeout_s = options.timeout
        self.queue_timeout_s = options.queue_timeout
        self.attempts = options.attempts
        self._header = api.Hl7Header.unreadable()
        self._fault: api.Hl7Fault | None = None
        super().__init__(client, service)

    @classmethod
    def split_rules(cls, options: Options, place: str) -> api.SplitRules:
        """See Splitter."""
        rules = super().split_rules(options, place)
        return replace(rules, framing=api.mllp(options.limit), in_flight=options.in_flight)

    def place(self, request: bytes) -> str | None:
        """Verify a message; return the upstream of the first route that it matches."""
        options = self.options
        self._header, self._fault = api.Hl7Header.verified(request, options.accept)
        matching = (each for each in options.routes if self._header.unmatched(each.where) is None)
        route = next(matching, None)
        return None if route is None else route.upstream

    def key(self, request: bytes) -> bytes | api.Resend:
        """Return MSH-10, which is MSA-2 of the answer."""
        return self._header.control_id if self._fault is None else self._resend(self._fault)

    @classmethod
    def split(cls, reply: bytes, options: Options) -> Iterator[api.Part]:
        """Yield an answer. What answers nothing is counted and dropped."""
        answer = api.Hl7Answer.parse(reply)
        if answer is not None:
            yield api.Part(answer.control_id, reply)

    def damaged(self, message: bytes, why: str) -> api.Resend:
        """Answer a message inside of which another begins: it is not known where it ended."""
        self._header = api.Hl7Header.unreadable()
        return self._resend(api.Hl7Fault("AE", 0, 100, why))

    def unanswered(self, request: bytes, why: api.Unanswered) -> bytes:
        """Return AR if the message was not sent, so that it may be sent again; otherwise AE."""
        unsent = why in (api.Unanswered.NOT_SENT, api.Unanswered.NO_SERVER)
        self._header = api.Hl7Header.parse(request)
        return self._answer(api.Hl7Fault("AR" if unsent else "AE", 0, 207, why.value))

    def _resend(self, fault: api.Hl7Fault) -> api.Resend:
        answer = self._answer(fault)
        return api.Resend(self.framing.encode(answer) if answer else b"", fault.text)

    def _answer(self, fault: api.Hl7Fault) -> bytes:
        """Return the answer to the message of `_header`; b"" if it asks for none."""
        self.count("refused")
        self.refused.add(code=fault.code)
        control_id = b"%d-%d" % (self.wall, self.service.counts["refused"])
        answer = self._header.acknowledgement(fault.code, control_id, self.wall, fault)
        name = self._header.control_id[:40].decode("ascii", "replace")
        done = f"answered {fault.code}" if answer else "refused; it asks for no answer"
        kind = f"{fault.code} {fault.field} {fault.error}"
        self.log_seldom(kind, f'message "{name}" {done}: {fault.text}', "warning")
        return answer or b""
