"""RunComparison: what each peer of a recorded run would now see otherwise, with another plugin.

The run is played twice, with the plugin that was recorded and with the other one: so what the
simulation does is the same on both sides, and contents are known where a log has digests only.
The first run is held against these digests, to tell where the simulation does not repeat the day.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import zip_longest
from pathlib import Path
from zlib import crc32

from vcproxy.replay.format.peer_scripts import PeerScript, PeerScripts
from vcproxy.replay.format.reader import LogError, RecordingLog
from vcproxy.replay.what_if.player import Outcome, Player
from vcproxy.replay.what_if.stage import Mishap, Stage
from vcproxy.replay.what_if.substitution import recorded, substituted

NOBODY = Outcome(b"", "not connected")


@dataclass(frozen=True, slots=True)
class Seen:
    """What one peer saw then, and now."""

    part: PeerScript
    then: Outcome
    now: Outcome

    @property
    def differs(self) -> bool:
        """Whether that is not the same."""
        return self.then != self.now

    @property
    def offset(self) -> int:
        """Where the first difference is in what it heard: behind all that is the same."""
        then, now = self.then.heard, self.now.heard
        shorter = range(min(len(then), len(now)))
        return bisect_left(shorter, True, key=lambda at: then[: at + 1] != now[: at + 1])


@dataclass(slots=True)
class ComparedConversation:
    """A client, and the servers' connections that were or are made for it. 0: for nobody."""

    number: int
    name: str = "no client's"
    seen: list[Seen] = field(default_factory=list)
    mishaps: list[str] = field(default_factory=list)
    """What goes wrong now."""
    repeated: bool = True
    """Whether the plugin that was recorded does in simulation what it did."""

    @property
    def differs(self) -> bool:
        """Whether somebody would see something else, or something goes wrong."""
        return bool(self.mishaps) or any(seen.differs for seen in self.seen)


@dataclass(frozen=True, slots=True)
class RunComparison:
    """All conversations of a log, in the order of their clients."""

    conversations: tuple[ComparedConversation, ...]
    unknown: tuple[str, ...]
    """Calls that have no answer in the log."""
    notes: tuple[str, ...]
    """What is to be known beside it."""

    @property
    def differs(self) -> bool:
        """Whether anything is not as it was."""
        return bool(self.unknown) or any(each.differs for each in self.conversations)


def compare(
    path: Path,
    plugin: str,
    listener: str = "",
    progress: Callable[[float], None] = lambda part: None,
) -> RunComparison:
    """Play a log with another plugin. `progress` is told what part of it is done, 0 to 1.

    Raises LogError, NotSubstituted, Stuck, and OSError where the other plugin cannot listen.
    """
    parts = PeerScripts(RecordingLog(path))
    if parts.serve is None:
        raise LogError(f"{path}: it ends before the proxy has begun")
    configuration = recorded(parts.header)
    then = _played(Stage(parts, configuration), lambda part: progress(part / 2))
    changed, note = substituted(configuration, plugin, listener)
    now = _played(Stage(parts, changed), lambda part: progress((1 + part) / 2))
    notes = [note] if note else []
    if parts.reloads:
        notes.append(f"{path}: it was reloaded {parts.reloads} times; that is left out")
    return RunComparison(tuple(_conversations(parts, then, now)), tuple(now.unknown), tuple(notes))


def _played(stage: Stage, progress: Callable[[float], None]) -> Stage:
    for now in stage.run():
        progress(min(now / stage.end, 1.0) if stage.end else 1.0)
    return stage


def _conversations(parts: PeerScripts, then: Stage, now: Stage) -> Iterator[ComparedConversation]:
    found: dict[int, ComparedConversation] = {}
    for client, group in sorted(parts.conversations().items()):
        conversation = found[client] = ComparedConversation(client)
        for part in group:
            was, here = then.players[part.number], now.players[part.number]
            _saw(conversation, part, was.outcome, here.outcome)
            if parts.known and not _as_recorded(part, was):
                conversation.repeated = False
            if part.listener:
                conversation.name = f"{parts.listener_names.get(part.listener, '')} {part.place}"
    for part, *both in _extras(then, now):
        conversation = found.setdefault(part.client, ComparedConversation(part.client))
        _saw(conversation, part, *both)
        if both[0] != NOBODY and part.client:
            conversation.repeated = False
    for mishap in _new(then, now):
        conversation = found.setdefault(mishap.client, ComparedConversation(mishap.client))
        conversation.mishaps.append(mishap.text)
    for number in sorted(found):
        yield found[number]


def _saw(conversation: ComparedConversation, part: PeerScript, then: Outcome, now: Outcome) -> None:
    """Note what a peer saw, but of a connection that is only kept."""
    if part.client or part.asker or then.heard or now.heard:
        conversation.seen.append(Seen(part, then, now))


def _extras(then: Stage, now: Stage) -> Iterator[tuple[PeerScript, Outcome, Outcome]]:
    """The connections that there were not in the log, then and now: the first with the first."""
    both: dict[tuple[int, str, str], tuple[list[Player], list[Player]]] = {}
    for side, stage in enumerate((then, now)):
        for extra in stage.extras:
            part = extra.part
            key = part.client, part.place, part.asker
            both.setdefault(key, ([], []))[side].append(extra)
    for before, after in both.values():
        for was, here in zip_longest(before, after):
            yield (
                (was or here).part,
                NOBODY if was is None else was.outcome,
                NOBODY if here is None else here.outcome,
            )


def _new(then: Stage, now: Stage) -> Iterator[Mishap]:
    """What went wrong with the recorded plugin is no news."""
    before = list(then.mishaps)
    for mishap in now.mishaps:
        if mishap in before:
            before.remove(mishap)
        else:
            yield mishap


def _as_recorded(part: PeerScript, player: Player) -> bool:
    heard = memoryview(player.outcome.heard)
    # What is for no client may go on by itself, longer than the recording.
    if len(heard) < part.total or (part.client and len(heard) > part.total):
        return False
    for size, digest in part.heard:
        if crc32(heard[:size]) != digest:
            return False
        heard = heard[size:]
    return True
