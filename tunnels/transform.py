"""Transform: changes the bytes of one direction of a tunnel.

Tested in tests/tunnels/test_transform.py.
"""

from typing import Protocol


class Transform(Protocol):
    """Bytes in, bytes out, and a tail at the end. The output may have another length."""

    def feed(self, data: bytes) -> bytes:
        """Change the next bytes that were read; return the bytes to send now, b"": none yet."""

    def finish(self) -> bytes:
        """Return the last bytes to send. Called once after the source's orderly end."""
