"""ListServer: answers `list`, as a machine server does, with the processes of this proxy.

So `vcproxy machine list` and the original's `Wink list` show them (wink.md 6 and 7). Nothing else
is carried out: whoever may send to the address may read the list, and no more.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable
from typing import TYPE_CHECKING

from vcproxy.bus.mailbox.datagram_mailbox import DatagramMailbox
from vcproxy.bus.mailbox.letter import Letter
from vcproxy.bus.mailbox.mailbox import MailboxFull
from vcproxy.bus.mailbox.peer import Peer, show_peer
from vcproxy.engine.continuation import Continuation
from vcproxy.engine.drop_counter import DropCounter
from vcproxy.engine.mutex import Mutex
from vcproxy.engine.sources.datagrams import BindFailed, Bound
from vcproxy.supervise.registry import Registration, listing

if TYPE_CHECKING:
    from vcproxy.engine.address import Address
    from vcproxy.engine.engine import Engine

NO_PORT = 0
"""The port in the list: workers talk with their master over inherited sockets and have no port."""


def list_processes(
    engine: Engine, address: Address, processes: Callable[[], Iterable[tuple[str, int]]]
) -> None:
    """Answer `list` at an address from now on. `processes`: see ListServer."""
    mutex = Mutex()
    with mutex.hold(engine):
        ListServer(engine, mutex, (address.host, address.port), processes)


class ListServer(Continuation):
    """A mailbox that answers `list`. Created with its mutex held."""

    def __init__(
        self,
        engine: Engine,
        mutex: Mutex,
        address: Peer,
        processes: Callable[[], Iterable[tuple[str, int]]],
    ) -> None:
        """`processes` returns the name and the pid of each process."""
        super().__init__(engine, mutex)
        self._processes = processes
        self._refused = DropCounter(engine, "supervise.bind")
        self._mailbox = DatagramMailbox(self, address)

    def handle_event(self, key: Hashable, data: object) -> None:
        """Handle a request, or the outcome of binding."""
        match data:
            case Letter():
                self._received(data)
            case Bound():
                at = show_peer(data.address)
                self.engine.log("info", f"supervise.bind: processes are listed at udp://{at}")
            case BindFailed():
                reason = f"cannot listen there: {data.reason}; processes are not listed"
                self.engine.log("error", f"supervise.bind: {reason}")

    def _received(self, letter: Letter) -> None:
        if letter.text.strip() == "list":
            rows = [
                Registration((letter.to[0], NO_PORT), pid, name) for name, pid in self._processes()
            ]
            self._send(letter.sender, listing(rows))
            return
        self._refused.drop(f"only `list` is carried out here, not `{letter.verb[:20]}`")
        if letter.verb == "start" and letter.words:
            self._send(
                letter.sender, f"errored {letter.words[0]} this address lists processes only"
            )

    def _send(self, to: Peer, text: str) -> None:
        try:
            self._mailbox.send(to, text)
        except (MailboxFull, ValueError) as error:
            self._refused.drop(f"an answer is not sent: {error}")
