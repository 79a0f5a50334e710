"""Laws for VConnections that carry messages without loss: Unix datagrams and packets.

Tested in tests/conformance/test_messages.py.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from vcproxy.engine.continuation import Continuation
from vcproxy.engine.event import Event
from vcproxy.engine.vconnection import Shutdown, VConnection
from vcproxy.testing.conformance.end import Do, Run
from vcproxy.testing.conformance.law import Pair, Trait

MANY = 1000
"""More messages than any socket holds."""

MessageCheck: TypeAlias = "Callable[[MessageEnd, MessageEnd], None]"


@dataclass(frozen=True, slots=True)
class MessageLaw:
    """A rule that every such VC must follow; called with a new pair."""

    check: MessageCheck
    needs: tuple[Trait, ...]

    def __str__(self) -> str:
        return self.check.__name__

    def __call__(self, pair: Pair) -> None:
        """Check the law. Raises AssertionError."""
        ends = MessageEnd(pair.a, pair.run), MessageEnd(pair.b, pair.run)
        self.check(*ends)
        for end in ends:
            if not end.closed:
                end.close()
            end.release_buffers()


_LAWS: list[MessageLaw] = []


def message_laws(lacking: Sequence[Trait] = ()) -> list[MessageLaw]:
    """Return the laws for a kind of VC that lacks some traits."""
    return [law for law in _LAWS if not set(law.needs) & set(lacking)]


def _needing(*traits: Trait) -> Callable[[MessageCheck], None]:
    return lambda check: _LAWS.append(MessageLaw(check, traits))


class MessageEnd(Continuation):
    """One end: it reads all the time."""

    def __init__(self, vc: VConnection, run: Run) -> None:
        super().__init__(vc.engine, vc.mutex)
        self.vc = vc
        self.run = run
        self.events: list[Hashable] = []
        self.messages: list[bytes] = []
        """What was received, in order."""
        self.closed = False
        self.reads = True
        """Whether received messages are taken from the buffer."""
        assert vc.message_oriented
        self._buffer = vc.engine.buffer(message_oriented=True)
        self._reader = self._buffer.reader()
        self._out = vc.engine.buffer(message_oriented=True)
        self._outgoing = self._out.reader()
        self.do(self._start)

    def _start(self) -> None:
        self.vc.do_io_read(self, None, self._buffer)
        self.vc.do_io_write(self, None, self._outgoing)

    def do(self, act: Callable[[], None]) -> None:
        """Call a function on the end's engine, under its mutex, and wait until it has returned."""
        done: list[bool] = []

        def acted() -> None:
            act()
            done.append(True)

        self.engine.schedule(self, Do, Do(acted))
        self.run(lambda: bool(done))

    def send(self, *messages: bytes) -> None:
        """Send messages."""

        def write() -> None:
            for message in messages:
                self._out.write(message)
            if self.vc.write_vio is not None:
                self.vc.write_vio.reenable()

        self.do(write)

    def expect(self, *messages: bytes) -> None:
        """Wait until exactly these messages have been received in total."""
        self.run(lambda: len(self.messages) >= len(messages))
        assert self.messages == list(messages)

    def wait_for(self, event: Event) -> None:
        """Wait for an event."""
        self.run(lambda: event in self.events)

    def read_on(self) -> None:
        """Take messages from the buffer again."""
        self.reads = True
        self.do(self._drain)

    def shutdown(self) -> None:
        """End the direction in which it writes."""
        self.do(lambda: self.vc.do_io_shutdown(Shutdown.WRITE))

    def close(self) -> None:
        """Close."""

        def close() -> None:
            self.closed = True
            self.vc.do_io_close()

        self.do(close)

    def release_buffers(self) -> None:
        """Close the readers of the buffers."""
        self._reader.close()
        self._outgoing.close()

    def _drain(self) -> None:
        while self._reader.avail:
            self.messages.append(bytes(self._reader.read_block()))
        if self.vc.read_vio is not None:
            self.vc.read_vio.reenable()

    def handle_event(self, key: Hashable, data: object) -> None:
        """Take what was received; note the event."""
        assert not self.closed, f"{key} after the close"
        if isinstance(data, Do):
            data.act()
            return
        self.events.append(key)
        if self.reads and key in (Event.READ_READY, Event.EOS, Event.ERROR):
            self._drain()


@_needing()
def boundaries_are_kept(a: MessageEnd, b: MessageEnd) -> None:
    """Each message arrives as one, in order, in both directions."""
    words = b"one", b"two two", bytes(5_000), b"4"
    a.send(*words)
    b.expect(*words)
    b.send(*reversed(words))
    a.expect(*reversed(words))


@_needing()
def the_largest_message_arrives_whole(a: MessageEnd, b: MessageEnd) -> None:
    """64 KiB; a longer one is dropped, and the next ones arrive."""
    a.send(bytes(65_536), b"next")
    b.expect(bytes(65_536), b"next")
    b.messages.clear()
    a.send(bytes(65_537), b"after")
    b.expect(b"after")


@_needing()
def many_messages_are_complete_and_in_order(a: MessageEnd, b: MessageEnd) -> None:
    """More than the socket holds: the rest waits with the writer."""
    words = [b"%d" % number * 20 for number in range(MANY)]
    a.send(words[0])
    b.expect(words[0])
    a.send(*words[1:])
    b.expect(*words)


@_needing(Trait.END)
def a_close_is_an_orderly_end(a: MessageEnd, b: MessageEnd) -> None:
    """All messages arrive, then EOS."""
    a.send(b"one", b"two")
    b.expect(b"one", b"two")
    a.send(b"three")
    a.run(lambda: Event.WRITE_READY in a.events)
    a.close()
    b.wait_for(Event.EOS)
    b.expect(b"one", b"two", b"three")


@_needing(Trait.END)
def one_direction_may_end_first(a: MessageEnd, b: MessageEnd) -> None:
    """The other continues."""
    a.send(b"question")
    b.expect(b"question")
    a.shutdown()
    b.wait_for(Event.EOS)
    b.send(b"answer", b"more")
    a.expect(b"answer", b"more")


@_needing(Trait.END)
def a_reader_that_stops_is_waited_for(a: MessageEnd, b: MessageEnd) -> None:
    """Nothing is lost while a peer does not read."""
    words = [bytes([number % 256]) * 30_000 for number in range(100)]
    b.reads = False
    a.send(*words)
    b.wait_for(Event.READ_READY)
    b.read_on()
    b.expect(*words)


@_needing()
def writing_to_a_closed_peer_is_an_error(a: MessageEnd, b: MessageEnd) -> None:
    """A writer gets ERROR in the end."""
    a.send(b"hello")
    b.expect(b"hello")
    a.close()
    a.run(lambda: a.vc not in a.engine.vcs)
    b.send(b"too late")
    b.run(lambda: bool({Event.ERROR, Event.EOS} & set(b.events)))
    b.send(b"later")
    b.wait_for(Event.ERROR)
