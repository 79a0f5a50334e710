"""What is wrong with a message, and the status that says so."""


class BadMessage(Exception):
    """A message that must go no further: answer `status`, close the connection.

    `why` says what is wrong with it, `rfc` which rule it breaks ("RFC 9112 6.1"). The status of a
    request is 400, 414, 417, 431, 501 or 505, that of a response 502.
    """

    def __init__(self, status: int, why: str, rfc: str) -> None:
        super().__init__(status, why, rfc)
        self.status = status
        self.why = why
        self.rfc = rfc

    def __str__(self) -> str:
        return f"{self.why} ({self.rfc})"
