"""Keyed: what `Splitter.key` returns for a request that is not sent as it is. A value.

Tested in tests/messages/test_splitter.py.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import NamedTuple


class Keyed(NamedTuple):
    """The key of a request, and how it is sent."""

    key: Hashable
    """The key that the parts of the answer have in common. None: they are matched by order."""
    rewritten: bytes | None = None
    """What the server gets, without its framing; None: the request itself. Two clients may use the
    same id: see `Splitter.fresh_id` for one of the shared connection's own, and `Splitter.restore`
    to give the client its own back."""
    shares: Hashable = None
    """Requests with an equal value, from any clients, get one answer of the server: see
    SharedAnswers. None: the request is always sent, and ends the sharing of earlier answers."""
