"""Transform: what may change the bytes of a direction on their way."""

from typing import Protocol


class Transform(Protocol):
    """Bytes in, bytes out, and a tail at the end. It need not keep the length."""

    def feed(self, data: bytes) -> bytes:
        """Take what was read, in order; return what may go on now, b"" for nothing yet."""

    def finish(self) -> bytes:
        """Nothing will follow: return what is still owed. Called once, and not after a failure."""
