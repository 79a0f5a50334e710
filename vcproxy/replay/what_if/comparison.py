"""RunComparison: what each peer of a recorded run would receive with another plugin.

The run is simulated twice, with the recorded plugin and with the new one. So effects of the
simulation are the same on both sides, and the full content is available even if the log contains
only digests. The first run is also compared with these digests, to mark conversations that the
simulation does not repeat exactly. Tested in tests/replay/test_what_if.py.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import zip_longest
from pathlib import Path
from zlib import crc32

from vcproxy.replay.format.peer_history import PeerHistory, RunHistory
from vcproxy.replay.format.reader import LogError, RecordingLog
from vcproxy.replay.what_if.replayed_peer import PeerOutcome, ReplayedPeer
from vcproxy.replay.what_if.run import LoggedError, WhatIfRun
from vcproxy.replay.what_if.substitution import recorded, substituted

NOT_CONNECTED = PeerOutcome(b"", "not connected")


@dataclass(frozen=True, slots=True)
class PeerComparison:
    """The outcome of one peer with the recorded plugin (then), and with the new one (now)."""

    history: PeerHistory
    then: PeerOutcome
    now: PeerOutcome

    @property
    def differs(self) -> bool:
        """Whether the outcomes differ."""
        return self.then != self.now

    @property
    def offset(self) -> int:
        """The position of the first difference in the received bytes."""
        then, now = self.then.received, self.now.received
        shorter = range(min(len(then), len(now)))
        return bisect_left(shorter, True, key=lambda at: then[: at + 1] != now[: at + 1])


@dataclass(slots=True)
class ComparedConversation:
    """A client and its server connections, then and now. Number 0: without a client."""

    number: int
    name: str = "no client's"
    peers: list[PeerComparison] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    """The errors that the engine logs with the new plugin only."""
    repeated: bool = True
    """Whether the simulation of the recorded plugin is equal to the recording."""

    @property
    def differs(self) -> bool:
        """Whether a peer receives something else, or there are new errors."""
        return bool(self.errors) or any(peer.differs for peer in self.peers)


@dataclass(frozen=True, slots=True)
class RunComparison:
    """All conversations of a log, in the order of their clients."""

    conversations: tuple[ComparedConversation, ...]
    unknown: tuple[str, ...]
    """Calls without a recorded result."""
    notes: tuple[str, ...]
    """Remarks for the user."""

    @property
    def differs(self) -> bool:
        """Whether there is any difference."""
        return bool(self.unknown) or any(each.differs for each in self.conversations)


def compare(
    path: Path,
    plugin: str,
    listener: str = "",
    progress: Callable[[float], None] = lambda part: None,
) -> RunComparison:
    """Simulate a recorded run with another plugin. `progress` gets the finished fraction, 0 to 1.

    Raises LogError, NotSubstituted, Stuck, and OSError if the new plugin cannot listen.
    """
    history = RunHistory(RecordingLog(path))
    if history.serve is None:
        raise LogError(f"{path}: the log ends before the proxy has started")
    configuration = recorded(history.header)
    then = _finished(WhatIfRun(history, configuration), lambda part: progress(part / 2))
    changed, note = substituted(configuration, plugin, listener)
    now = _finished(WhatIfRun(history, changed), lambda part: progress((1 + part) / 2))
    notes = [note] if note else []
    if history.reloads:
        notes.append(f"{path}: the recording has {history.reloads} reloads: they are ignored")
    return RunComparison(
        tuple(_conversations(history, then, now)), tuple(now.unknown), tuple(notes)
    )


def _finished(run: WhatIfRun, progress: Callable[[float], None]) -> WhatIfRun:
    for now in run.run():
        progress(min(now / run.end, 1.0) if run.end else 1.0)
    return run


def _conversations(
    recording: RunHistory, then: WhatIfRun, now: WhatIfRun
) -> Iterator[ComparedConversation]:
    found: dict[int, ComparedConversation] = {}
    for client, group in sorted(recording.conversations().items()):
        conversation = found[client] = ComparedConversation(client)
        for history in group:
            before, after = then.peers[history.number], now.peers[history.number]
            _add(conversation, history, before.outcome, after.outcome)
            if recording.complete and not _as_recorded(history, before):
                conversation.repeated = False
            if history.listener:
                name = recording.listener_names.get(history.listener, "")
                conversation.name = f"{name} {history.address}"
    for history, *both in _extras(then, now):
        conversation = found.setdefault(history.client, ComparedConversation(history.client))
        _add(conversation, history, *both)
        if both[0] != NOT_CONNECTED and history.client:
            conversation.repeated = False
    for error in _new_errors(then, now):
        conversation = found.setdefault(error.client, ComparedConversation(error.client))
        conversation.errors.append(error.text)
    for number in sorted(found):
        yield found[number]


def _add(
    conversation: ComparedConversation, history: PeerHistory, then: PeerOutcome, now: PeerOutcome
) -> None:
    """Add the outcomes of a peer, unless it is a connection that is only kept for reuse."""
    if history.client or history.requester or then.received or now.received:
        conversation.peers.append(PeerComparison(history, then, now))


def _extras(
    then: WhatIfRun, now: WhatIfRun
) -> Iterator[tuple[PeerHistory, PeerOutcome, PeerOutcome]]:
    """Yield the connections that are not in the log, paired in order: then and now."""
    both: dict[tuple[int, str, str], tuple[list[ReplayedPeer], list[ReplayedPeer]]] = {}
    for side, run in enumerate((then, now)):
        for extra in run.extras:
            history = extra.history
            key = history.client, history.address, history.requester
            both.setdefault(key, ([], []))[side].append(extra)
    for before, after in both.values():
        for one, other in zip_longest(before, after):
            yield (
                (one or other).history,
                NOT_CONNECTED if one is None else one.outcome,
                NOT_CONNECTED if other is None else other.outcome,
            )


def _new_errors(then: WhatIfRun, now: WhatIfRun) -> Iterator[LoggedError]:
    """Yield the errors that the recorded plugin did not have."""
    before = list(then.errors)
    for error in now.errors:
        if error in before:
            before.remove(error)
        else:
            yield error


def _as_recorded(history: PeerHistory, peer: ReplayedPeer) -> bool:
    received = memoryview(peer.outcome.received)
    # A connection without a client may receive data after the end of the recording.
    if len(received) < history.total or (history.client and len(received) > history.total):
        return False
    for size, digest in history.received:
        if crc32(received[:size]) != digest:
            return False
        received = received[size:]
    return True
