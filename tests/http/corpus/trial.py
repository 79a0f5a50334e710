"""Trial: run one case on a proxy, over any kind of connection, and collect what was seen."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Protocol

from tests.http.corpus.case import Accepted, AnswerCase, Case, RequestCase, sent
from tests.http.corpus.origin import CANARY, Origin
from tests.http.corpus.wire import Message, Received, answers


class Client(Protocol):
    """A connection to the proxy."""

    @property
    def received(self) -> bytes:
        """All received bytes."""

    @property
    def over(self) -> bool:
        """Whether nothing more can be received."""

    def send(self, data: bytes) -> None:
        """Send; without effect if the proxy has closed the connection."""

    def end(self) -> None:
        """End the sending direction."""

    def close(self) -> None:
        """Close."""

    def wait(self, until: Callable[[], bool]) -> None:
        """Run until the condition holds, the connection is `over`, or time is up."""


class World(Protocol):
    """A proxy, clients of it, and the origin behind it."""

    @property
    def origin(self) -> Origin:
        """The origin."""

    def client(self) -> Client:
        """A new connection to the proxy."""

    def pause(self) -> None:
        """Let what was sent arrive."""


@dataclass(frozen=True, slots=True)
class Seen:
    """The result of a case."""

    answers: tuple[Message, ...]
    """All answers that the client got before the canary's, interim ones too."""
    fault: str
    """Why the client cannot parse the answers; empty: it can."""
    hung: bool
    """Whether the proxy waited for more data and sent no answer; the origin closes then."""
    ended: bool
    """Whether the proxy closed or reset the client's connection, without an answer to the canary
    that was sent after the case."""
    own: bool
    """Whether the canary that was sent after the case got its own answer."""
    fresh: str
    """The status line that a canary on a new connection got; empty: its own answer."""
    received: tuple[Message, ...]
    """The origin's requests, without canaries."""
    faults: tuple[str, ...]
    """See Origin."""
    reused: bool
    """Whether the origin got a canary on a connection that it had answered the case on."""
    strange: tuple[str, ...]
    """Canaries that the origin got although it must not, or got twice."""

    @property
    def finals(self) -> list[Message]:
        """The answers that are not interim."""
        return [answer for answer in self.answers if not answer.interim]


def run_case(case: Case, world: World, number: int, cuts: Iterable[int] = ()) -> Seen:
    """Send the case, cut into pieces at `cuts`; then a canary on the same connection, and one on a
    new connection. A canary is a valid request whose target contains `number`.
    """
    world.origin.begin(case)
    raw = sent(case)
    methods = _methods(case, raw)
    client = world.client()

    def received() -> Received:
        return answers(client.received, methods, client.over)

    def answered() -> bool:
        found = received()
        return bool(found.fault) or any(
            answer.complete and not answer.interim for answer in found.messages
        )

    at = 0
    for cut in cuts:
        client.send(raw[at:cut])
        world.pause()
        at = cut
    client.send(raw[at:])
    if isinstance(case, RequestCase) and case.end:
        client.end()
    client.wait(answered)
    hung = not (answered() or client.over)
    if hung and isinstance(case, AnswerCase):
        world.origin.hang_up()
        client.wait(answered)
    world.pause()
    if isinstance(case, AnswerCase) and case.late:
        world.origin.speak_late(case.late)
        world.pause()
    behind = f"{CANARY}{number}-behind"

    def own() -> bool:
        return any(_own(answer, behind) for answer in received().messages)

    if not client.over and answered() and not received().fault:
        client.send(_canary(behind))
        client.wait(own)
    found = received()
    got_own = own()
    ended = client.over
    client.close()

    alone = f"{CANARY}{number}-alone"
    fresh = world.client()
    fresh.send(_canary(alone))
    fresh.wait(lambda: bool(answers(fresh.received, (), fresh.over).messages))
    first = answers(fresh.received, (), fresh.over).messages[:1]
    result = "nothing" if not first else "" if _own(first[0], alone) else first[0].start
    fresh.close()
    return _seen(world.origin, found, hung, ended, behind, got_own, result)


def _seen(
    origin: Origin,
    found: Received,
    hung: bool,
    ended: bool,
    behind: str,
    own: bool,
    fresh: str,
) -> Seen:
    received = list(origin.received)
    canaries = [message.target for _, message in received if message.target.startswith(CANARY)]
    messages = [message for message in found.messages if not _own(message, behind)]
    return Seen(
        answers=tuple(messages),
        fault=found.fault,
        hung=hung,
        ended=ended and not own,
        own=own,
        fresh=fresh,
        received=tuple(message for _, message in received if not message.target.startswith(CANARY)),
        faults=tuple(origin.faults),
        reused=any(
            number in origin.served
            for number, message in received
            if message.target.startswith(CANARY)
        ),
        strange=tuple(
            target
            for target in dict.fromkeys(canaries)
            if canaries.count(target) > 1 or (target == behind and not own)
        ),
    )


def _methods(case: Case, raw: bytes) -> list[str]:
    if isinstance(case.expect, Accepted):
        return [request.method for request in case.expect.requests]
    return ["HEAD"] if raw.startswith(b"HEAD ") else []


def _canary(target: str) -> bytes:
    return f"GET {target} HTTP/1.1\r\nHost: a.example\r\n\r\n".encode()


def _own(answer: Message, target: str) -> bool:
    return answer.status == 200 and answer.body == f"GET {target}".encode()
