"""author_fields: the fields that a plugin adds to a record.

Tested in tests/access_log/test_record.py and tests/http/proxy/test_access_log.py.
"""

from __future__ import annotations

from typing import Protocol


class Extended(Protocol):
    """A record that has fields of a plugin."""

    extra: dict[str, object] | None
    """The fields; None: there are none yet."""


def author_fields(record: Extended | None) -> dict[str, object]:
    """Return the mapping of a record, to be changed. Without a record, changes have no effect."""
    if record is None:
        return {}
    if record.extra is None:
        record.extra = {}
    return record.extra
