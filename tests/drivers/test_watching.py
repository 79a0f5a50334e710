"""Masks: the table of eventdispatcher.md 5, in both directions."""

from __future__ import annotations

import pytest

from vcproxy.drivers.watching.masks import kinds_of, mask_of
from vcproxy.engine.sources.file_changes import FileEvent


@pytest.mark.parametrize(
    ("mask", "kinds"),
    [
        (0x1, FileEvent.READ),
        (0x2, FileEvent.WRITE),
        (0x4, FileEvent.ATTRIBUTES),
        (0x8, FileEvent.ACCESS | FileEvent.UPDATED),
        (0x10, FileEvent.ACCESS),
        (0x20, FileEvent.ACCESS),
        (0x40, FileEvent.DELETED),
        (0x80, FileEvent.CREATED),
        (0x100, FileEvent.CREATED),
        (0x200, FileEvent.DELETED),
        (0x400, FileEvent.DELETED),
        (0x800, FileEvent.DELETED),
        (0x2000, FileEvent.UNMOUNTED),
        (0x4000, FileEvent.LOST_SYNC),
        (0x8000, FileEvent.GONE),
        (0x4000_0020, FileEvent.ACCESS | FileEvent.DIRECTORY),
    ],
)
def test_what_the_bits_of_a_record_mean(mask: int, kinds: FileEvent) -> None:
    assert kinds_of(mask) == kinds


@pytest.mark.parametrize(
    ("kinds", "mask"),
    [
        (FileEvent.ATTRIBUTES, 0x4),
        (FileEvent.READ, 0x1),
        (FileEvent.WRITE, 0x2),
        (FileEvent.IO, 0x3),
        (FileEvent.CREATED, 0x180),
        (FileEvent.DELETED, 0xE40),
        (FileEvent.ACCESS, 0x38),
        (FileEvent.UPDATED, 0x8),
        (FileEvent.ALL, 0xFFF),
        (FileEvent.EXISTS | FileEvent.DIRECTORY | FileEvent.LOST_SYNC, 0),
    ],
)
def test_which_bits_are_asked_for(kinds: FileEvent, mask: int) -> None:
    assert mask_of(kinds) == mask
