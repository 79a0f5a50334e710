"""BadMessage: why a message is refused, and the status of the response to it.

Tested in tests/http/message/test_requests.py and test_responses.py.
"""


class BadMessage(Exception):
    """A message that must not be forwarded: answer with `status`, then close the connection.

    `why` is the reason, `rfc` the rule that the message violates ("RFC 9112 6.1"). The status for a
    request is 400, 408, 413, 414, 417, 431, 501 or 505, for a response 502.
    """

    def __init__(
        self,
        status: int,
        why: str,
        rfc: str,
        *,
        at: int | None = None,
        field: str = "",
        message: bytes = b"",
    ) -> None:
        """`at`: the index of the first bad byte in `message`; `field`: the name, in lower case, of
        the field that is bad."""
        super().__init__(status, why, rfc)
        self.status = status
        self.why = why
        self.rfc = rfc
        self._at = at
        self._field = field
        self.message = message
        """The bytes in which the error was found. Who reads a head sets it; empty: unknown."""

    @property
    def position(self) -> int | None:
        """The index in `message` of the first bad byte, or of the line of the bad field; None: what
        is wrong is not at one place."""
        if not self._field:
            return self._at
        # Of several lines of that name the last one is bad: it contradicts the first.
        at = self.message.lower().rfind(b"\r\n%b:" % self._field.encode())
        return at + 2 if at >= 0 else None

    def __str__(self) -> str:
        return f"{self.why} ({self.rfc})"
