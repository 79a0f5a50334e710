"""Origin: the server behind the proxy under test. It records all requests, sends what a case
requires, and answers everything else with the first line of the request. It does no I/O itself.
"""

from __future__ import annotations

import re
from itertools import count
from typing import Protocol

from tests.http.corpus.case import AnswerCase, Case
from tests.http.corpus.wire import Message, requests

CANARY = "/canary/"
"""The prefix of the targets of canaries; see `run_case`."""


class Line(Protocol):
    """A connection, from the origin's end."""

    def send(self, data: bytes) -> None:
        """Send."""

    def close(self) -> None:
        """Close the connection, with a FIN."""

    def reset(self) -> None:
        """Reset the connection."""


class Origin:
    """Records what it has received on all connections since the case began."""

    def __init__(self) -> None:
        self.case: Case | None = None
        self.received: list[tuple[int, Message]] = []
        """The number of the connection and the message, for each complete request."""
        self.faults: list[str] = []
        """Why received bytes are not a request: the proxy forwarded what a strict server
        refuses."""
        self.served: set[int] = set()
        """The numbers of the connections on which the case was answered."""
        self._numbers = count(1)
        self._spoke: Line | None = None

    def begin(self, case: Case) -> None:
        """Forget the results of the previous case."""
        self.case, self._spoke = case, None
        self.received, self.faults, self.served = [], [], set()

    def connection(self, line: Line) -> Connection:
        """Return a new connection; called when the proxy has connected."""
        return Connection(self, line, next(self._numbers))

    def speak(self, line: Line, case: AnswerCase) -> None:
        """Send what the case requires of the origin."""
        self._spoke = line
        line.send(case.raw)
        if case.then == "end":
            line.close()
        elif case.then == "reset":
            line.reset()

    def hang_up(self) -> None:
        """Close the connection on which the case was answered: the proxy waits for more data."""
        if self._spoke is not None:
            self._spoke.close()

    def speak_late(self, data: bytes) -> None:
        """Send more data on the connection on which the case was answered."""
        if self._spoke is not None:
            self._spoke.send(data)


class Connection:
    """One of the origin's connections; `feed` gets the received bytes."""

    def __init__(self, origin: Origin, line: Line, number: int) -> None:
        self._origin = origin
        self._line = line
        self._number = number
        self._unread = b""
        self._continued = self._done = False
        self._early = False  # the request was answered before its end

    def feed(self, data: bytes) -> None:
        """Parse received bytes, and answer complete requests."""
        if self._done:
            return
        self._unread += data
        case = self._origin.case
        if isinstance(case, AnswerCase) and case.early and self._head_of_case():
            self._early = True
            self._origin.served.add(self._number)
            self._origin.speak(self._line, case)
        received = requests(self._unread)
        for message in received.messages:
            if not message.complete:
                self._expected(message)
                return
            if not self._early:
                self._answer(message)
            self._continued = self._early = False
        self._unread = received.rest
        if received.fault:
            self._done = True
            self._origin.faults.append(received.fault)
            self._line.send(b"HTTP/1.1 400 Strict\r\nContent-Length: 0\r\n\r\n")
            self._line.close()

    def _head_of_case(self) -> bool:
        head, end, _ = self._unread.partition(b"\r\n\r\n")
        return bool(end) and not self._early and CANARY.encode() not in head

    def _expected(self, message: Message) -> None:
        done = self._continued or isinstance(self._origin.case, AnswerCase)
        if message.values("Expect") and not done:
            self._continued = True
            self._line.send(b"HTTP/1.1 100 Continue\r\n\r\n")

    def _answer(self, message: Message) -> None:
        origin = self._origin
        origin.received.append((self._number, message))
        if not message.target.startswith(CANARY):
            origin.served.add(self._number)
            if isinstance(origin.case, AnswerCase):
                origin.speak(self._line, origin.case)
                return
        text = re.sub(r" HTTP/1\.[01]$", "", message.start).encode()
        body = b"" if message.method == "HEAD" else text
        self._line.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(text), body))
