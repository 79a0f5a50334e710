"""BadMessage: why a message is refused, and the status of the response to it.

Tested in tests/http/message/test_requests.py and test_responses.py.
"""


class BadMessage(Exception):
    """A message that must not be forwarded: answer with `status`, then close the connection.

    `why` is the reason, `rfc` the rule that the message violates ("RFC 9112 6.1"). The status for a
    request is 400, 408, 413, 414, 417, 431, 501 or 505, for a response 502.
    """

    def __init__(self, status: int, why: str, rfc: str) -> None:
        super().__init__(status, why, rfc)
        self.status = status
        self.why = why
        self.rfc = rfc

    def __str__(self) -> str:
        return f"{self.why} ({self.rfc})"
