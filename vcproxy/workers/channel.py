"""Channel: one end of the socket pair between the master and a worker. Descriptors can be sent.

Sending never waits: the messages are few and short, and the buffer of the socket holds those that
a busy peer has not read yet.
"""

from __future__ import annotations

import os
import socket
from array import array
from collections.abc import Sequence

from vcproxy.workers.messages import Message

LARGEST = 3 << 16
"""Bytes of the largest message: MAX_DESCRIPTORS names and addresses of listeners, or a bus message
of 64 KiB, of which each byte may take three. The buffer of a socket holds it (208 KiB, unix(7))."""

MAX_DESCRIPTORS = 250
"""Descriptors sent with one message: Linux passes 253 (SCM_MAX_FD)."""


_ROOM = socket.CMSG_SPACE(MAX_DESCRIPTORS * array("i").itemsize)


class Channel:
    """Sends and receives messages, each with its descriptors. It owns its socket."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self.ended = False
        """Whether the other end is closed, for example because its process has ended."""

    @classmethod
    def pair(cls) -> tuple[Channel, Channel]:
        """Return two connected ends."""
        one, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        return cls(one), cls(other)

    def fileno(self) -> int:
        """Return the descriptor; -1 after `close`."""
        return self._sock.fileno()

    def send(self, message: Message, descriptors: Sequence[int] = ()) -> bool:
        """Send a message, and copies of descriptors with it; return whether it was sent.

        It was not sent if the peer has ended, or has not read for so long that the buffer is full.
        """
        try:
            self._sock.sendmsg([message.encode()], _ancillary(descriptors), socket.MSG_DONTWAIT)
        except OSError:
            return False
        return True

    def receive(self) -> tuple[Message, list[int]] | None:
        """Wait for the next message; return it with its descriptors. None: the other end is closed.

        If this process reaches its limit of descriptors, fewer are returned than were sent.
        """
        return self._receive(0)

    def receive_all(self) -> list[tuple[Message, list[int]]]:
        """Return the messages that have arrived."""
        messages = []
        while not self.ended:
            try:
                received = self._receive(socket.MSG_DONTWAIT)
            except BlockingIOError:
                break
            if received is not None:
                messages.append(received)
        return messages

    def _receive(self, flags: int) -> tuple[Message, list[int]] | None:
        receive = self._sock.recvmsg  # socket.recv_fds ignores its argument `flags`
        flags |= socket.MSG_CMSG_CLOEXEC
        try:
            data, ancillary, _, _ = receive(LARGEST, _ROOM, flags)
        except ConnectionResetError:
            # The peer has ended with unread messages. This is reported once; its messages follow.
            data, ancillary, _, _ = receive(LARGEST, _ROOM, flags)
        if not data:
            self.ended = True
            return None
        descriptors = array("i")
        for level, kind, content in ancillary:
            if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
                descriptors.frombytes(content[: len(content) - len(content) % descriptors.itemsize])
        return Message.decode(data), descriptors.tolist()

    def close(self) -> None:
        """Close this end."""
        self._sock.close()


def _ancillary(descriptors: Sequence[int]) -> list[tuple[int, int, array[int]]]:
    if not descriptors:
        return []
    return [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array("i", descriptors))]


def close_all(descriptors: Sequence[int]) -> None:
    """Close received descriptors that are not used."""
    for descriptor in descriptors:
        os.close(descriptor)
