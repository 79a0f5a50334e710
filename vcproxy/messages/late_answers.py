"""LateAnswers: the answers that may still come on a line, after their requests have timed out.

A device at the end of a serial line answers late also on a connection that was made after its
request: closing the connection does not stop it. So the line stays open, and the next request with
the key waits until the late answer has come, which is dropped; or until GIVEN_UP times `timeout_s`
have passed since the request was sent. Requests with other keys do not wait.

A value. Tested in tests/messages/test_late_answers.py and tests/plugins/test_modbus.py.
"""

from __future__ import annotations

from vcproxy.messages.split_request import SplitRequest

INFINITE = float("inf")

GIVEN_UP = 3
"""A device is understood that needs up to twice `timeout_s`. It is asked again after the first, and
begins with this when it has answered the first time. So it ends after four times `timeout_s`: three
since it was asked again."""


class LateAnswers:
    """Requests that were abandoned at the server, in the order in which their waiting ends."""

    __slots__ = ("_until", "end", "on_line")

    def __init__(self, on_line: bool) -> None:
        self.on_line = on_line
        """Whether late answers are expected at all."""
        self.end = INFINITE
        """When the first of them is given up; infinite: none is expected."""
        self._until: dict[SplitRequest, float] = {}

    def expect(self, request: SplitRequest) -> None:
        """Wait for the answers to a request, until it is given up."""
        if self.on_line and request.copies:
            self._until[request] = given_up_at(request)
            self._note_end()

    def arrived(self, request: SplitRequest) -> None:
        """Note that the last answer to a request has come."""
        if self._until.pop(request, None) is not None:
            self._note_end()

    def given_up(self, now: float) -> list[SplitRequest]:
        """Remove and return the requests whose answer no longer comes."""
        found = [each for each, until in self._until.items() if until <= now]
        for each in found:
            self.arrived(each)
        return found

    def _note_end(self) -> None:
        self.end = min(self._until.values(), default=INFINITE)


def given_up_at(request: SplitRequest) -> float:
    """Return when the answers to a request that was sent are given up."""
    return request.sent_at + GIVEN_UP * request.timeout_s
