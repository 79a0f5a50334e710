"""Divergence: the first difference between a replay and its recording, and the report about it.

Tested in tests/e2e/test_recording.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vcproxy.replay.format import entries as e

if TYPE_CHECKING:
    from vcproxy.engine.continuation import Continuation
    from vcproxy.replay.playback.engine import ReplayEngine

_EXCERPT = 60
"""Bytes of content in a report: about a line."""


class Divergence(Exception):
    """A replay differs from the recording.

    The text contains the step, both entries, and what the machines of the conversation received.
    """


def report(step: int, entry: e.Entry, here: str, engine: ReplayEngine, redacted: bool) -> str:
    """Return the text for a divergence at a step. `here`: what the replay did instead."""
    lines = [f"step {step}: the replay differs from the recording"]
    if redacted:
        lines.append(
            "  the log is redacted: a plugin may act differently without the redacted content"
        )
    lines.append(f"  recorded: {shown(entry)}")
    if isinstance(entry, e.CommandsEntry):
        lines += [f"            {command}" for command in entry.texts or ()]
    lines.append(f"  here:     {here or 'nothing'}")
    if isinstance(entry, e.CommandsEntry):
        lines += [f"            {command}" for command in engine.texts]
    vc = engine.numbered_vcs.get(e.vc_of(entry) or 0)
    conts: list[Continuation | None] = []
    if vc is not None:
        lines.append(f"  conversation: {vc.number}, {vc.name}")
        conts = [vio.cont for vio in (vc.read_vio, vc.write_vio) if vio is not None]
    elif engine.deliveries:
        conts = [engine.deliveries[-1].cont]
    for cont in dict.fromkeys(conts):
        while cont is not None:
            lines.append(f"  machine: {cont!r}")
            history = cont.crashed(RuntimeError("the replay differs from the recording"))
            lines += [f"    {line}" for line in history.splitlines()]
            cont = getattr(cont, "_owner", None)  # the owner of a tunnel
    return "\n".join(lines)


def shown(entry: e.Entry | None) -> str:
    """Return an entry as one line of text."""
    if entry is None:
        return "nothing"
    fields = [
        f"{name}={value[:_EXCERPT] if isinstance(value, bytes) else value!r}"
        for name, value in zip(entry._fields, entry, strict=True)
    ]
    return f"{e.call_name(entry)} {' '.join(fields)}"


def without_content(entry: e.Entry | None) -> object:
    """Return an entry without the fields that redaction changes."""
    if isinstance(entry, e.SentEntry):
        return entry._replace(digest=0, data=None)
    if isinstance(entry, e.SpreadEntry):
        return entry._replace(digest=0)
    if isinstance(entry, e.CommandsEntry):
        return entry._replace(digest=0, texts=None)
    if isinstance(entry, e.CalledEntry):
        return entry._replace(call="")
    if isinstance(entry, e.ResolvedEntry):
        return entry._replace(target="")
    return entry
