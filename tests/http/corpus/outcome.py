"""Outcome: how the result of a case differs from what it expects, and what the proxy did."""

from __future__ import annotations

from collections.abc import Iterator
from enum import Enum

from tests.http.corpus.case import (
    Accepted,
    AnswerCase,
    Answered,
    BadGateway,
    Case,
    Cut,
    Dropped,
    Got,
    Refused,
    Relayed,
    RequestCase,
)
from tests.http.corpus.trial import Seen
from tests.http.corpus.wire import Message


def objections(case: Case, seen: Seen) -> list[str]:
    """Return all differences from what the case expects; empty: there is none."""
    return [*_of_canaries(seen), *_of_case(case, seen)]


def _of_canaries(seen: Seen) -> Iterator[str]:
    if seen.fresh:
        yield f"the canary on a new connection got {seen.fresh}"
    if seen.strange:
        yield f"the origin got {', '.join(seen.strange)}, and the client no answer to it"
    if seen.faults:
        yield f"the origin got an invalid request: {seen.faults[0]}"
    if seen.hung:
        yield "neither a response nor an end until the client closed"
    if not (seen.own or seen.ended):
        yield "the connection is neither closed nor does it answer the canary"


def _of_case(case: Case, seen: Seen) -> Iterator[str]:
    match case.expect:
        case Refused(status):
            yield from _statuses(seen, [status])
            yield from _kept(seen, kept=False)
            yield from _requests(seen, ())
        case Answered(status):
            yield from _statuses(seen, [status])
            yield from _requests(seen, ())
        case Dropped():
            if any(answer.status < 400 for answer in seen.finals):
                yield f"it was answered {seen.finals[0].start}"
            yield from _kept(seen, kept=False)
            yield from _requests(seen, ())
        case Accepted(requests, kept, then):
            yield from _statuses(seen, [200] * len(requests) + [then] * bool(then))
            yield from _kept(seen, kept and not then)
            yield from _requests(seen, requests)
            for answer, request in zip(seen.finals, requests, strict=False):
                result = f"{request.method} {request.target}"
                if answer.body != (b"" if request.method == "HEAD" else result.encode()):
                    yield f"{result} was answered {answer.body!r}"
        case Relayed():
            yield from _relayed(case.expect, seen)
        case BadGateway():
            yield from _statuses(seen, [502])
            yield from _reused(seen, may=False)
        case Cut(status):
            whole = [
                answer for answer in seen.finals if answer.complete and answer.status == status
            ]
            if whole:
                yield f"the client cannot see that the response is incomplete: {whole[0].body!r}"
            elif _cut(seen):
                yield from _statuses(seen, [status])
            elif seen.finals or seen.fault:
                yield from _statuses(seen, [502])
            if _cut(seen):
                yield from _kept(seen, kept=False)
            yield from _reused(seen, may=False)


def _relayed(expect: Relayed, seen: Seen) -> Iterator[str]:
    yield from _statuses(seen, [expect.status])
    interim = tuple(answer.status for answer in seen.answers if answer.interim)
    if interim != expect.interim:
        yield f"interim answers {interim}, not {expect.interim}"
    for answer in seen.finals[:1]:
        if answer.body != expect.body or not answer.complete:
            yield f"the body is {answer.body[:40]!r}"
        yield from _fields(answer, expect.has, expect.lacks)
    yield from _kept(seen, expect.kept)
    yield from _reused(seen, expect.reused)


def _statuses(seen: Seen, expected: list[int]) -> Iterator[str]:
    got = [answer.status for answer in seen.finals]
    if seen.fault:
        yield f"the client got an invalid response: {seen.fault}"
    if got != expected:
        yield f"the client got {got}, not {expected}"


def _kept(seen: Seen, kept: bool) -> Iterator[str]:
    if seen.own != kept:
        yield f"the client's connection was {'kept' if seen.own else 'closed'}"


def _reused(seen: Seen, may: bool) -> Iterator[str]:
    if seen.reused and not may:
        yield "the origin's connection was reused"
    if may and not seen.reused:
        yield "the origin's connection was not reused"


def _requests(seen: Seen, expected: tuple[Got, ...]) -> Iterator[str]:
    got = [(message.method, message.target) for message in seen.received]
    if got != [(request.method, request.target) for request in expected]:
        yield f"the origin got {got}"
        return
    for message, request in zip(seen.received, expected, strict=True):
        if message.body != request.body:
            yield f"the origin got the body {message.body[:40]!r}"
        if not message.start.endswith(" HTTP/1.1"):
            yield f"the origin got {message.start}"
        yield from _fields(message, request.has, request.lacks)


def _fields(message: Message, has: tuple[str, ...], lacks: tuple[str, ...]) -> Iterator[str]:
    for line in has:
        if not _has(message, line):
            yield f"{line[:40]} is missing"
    for line in lacks:
        if _has(message, line) if ":" in line else message.values(line):
            yield f"{line} was not removed"


def _has(message: Message, line: str) -> bool:
    name, _, value = line.partition(": ")
    lines = message.values(name)
    return value in lines or value in [part.strip() for one in lines for part in one.split(",")]


def _cut(seen: Seen) -> bool:
    return bool(seen.finals) and not seen.finals[-1].complete


# --- in a few words, for the table


class Outcome(Enum):
    """What a proxy did with a case."""

    REFUSED = "refuses"
    """The proxy itself answers; or, for an origin's answer, the client can detect it is
    incomplete."""
    ACCEPTED = "accepts"
    """The proxy forwards valid data, possibly changed."""
    PASSED = "forwards malformed data"
    """A strict reader refuses what the proxy forwards; a lenient one may misread it."""
    WAITED = "waits for more"
    """The proxy does not detect that the message is complete, or that it is invalid."""
    DESYNCHRONISED = "desynchronises"
    """A canary gets no response, that of another request, or two."""


def outcome(case: Case, seen: Seen) -> Outcome:
    """What the proxy did."""
    if seen.fresh or seen.strange or _stolen(case, seen):
        return Outcome.DESYNCHRONISED
    if seen.faults or seen.fault:
        return Outcome.PASSED
    if isinstance(case, RequestCase):
        if seen.hung and not seen.received:
            return Outcome.WAITED
        if not seen.received or (seen.finals and seen.finals[0].status >= 400):
            return Outcome.REFUSED
        return Outcome.ACCEPTED
    if seen.hung:
        return Outcome.WAITED
    broken = isinstance(case.expect, BadGateway | Cut)
    if _cut(seen) or not seen.finals or (broken and seen.finals[0].status >= 500):
        return Outcome.REFUSED
    return Outcome.ACCEPTED


def _stolen(case: Case, seen: Seen) -> bool:
    """Whether the client got, as the canary's answer, bytes that the origin sent after its
    answer."""
    behind = seen.finals[1:]
    return isinstance(case, AnswerCase) and any(answer.status < 400 for answer in behind)


def words(seen: Seen) -> str:
    """Describe what the client received, or that the origin received invalid data."""
    if seen.faults:
        return "the origin gets it malformed" + (
            f", next client: {seen.fresh}" if seen.fresh else ""
        )
    data = " ".join(
        [
            *(str(answer.status) + ("" if answer.complete else " cut") for answer in seen.answers),
            *(["unreadable"] if seen.fault else []),
        ]
    )
    parts = [data or ("closed" if seen.ended else "no answer")]
    if seen.own and any(answer.status >= 400 for answer in seen.finals):
        parts.append("kept")
    if seen.hung:
        parts.append("waits")
    if seen.strange:
        parts.append("the canary got no response")
    if seen.fresh:
        parts.append(f"next client: {seen.fresh}")
    return ", ".join(parts)
