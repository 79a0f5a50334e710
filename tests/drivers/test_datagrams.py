"""Batches of datagrams for one segmented send."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from vcproxy.drivers.datagrams import MAX_SEGMENTS, MAX_SEND_BYTES, batches
from vcproxy.engine.blocks import EMPTY


@pytest.mark.parametrize(
    ("blocks", "lengths"),
    [
        ([b"a", b"b", b"c"], [3]),
        ([b"aa", b"bb", b"c", b"d"], [3, 1]),
        ([b"a", b"bb"], [1, 1]),
        ([b"a", EMPTY, b"b"], [1, 1, 1]),
        ([EMPTY, EMPTY, b"a", b"b"], [1, 1, 2]),
        ([b"aa", b"bb", EMPTY], [2, 1]),
        ([b"a"] * (MAX_SEGMENTS + 1), [MAX_SEGMENTS, 1]),
        ([bytes(MAX_SEND_BYTES)] * 2, [1, 1]),
    ],
)
def test_a_batch_has_one_size_and_a_shorter_last_datagram(
    blocks: Sequence[bytes], lengths: list[int]
) -> None:
    found = list(batches(blocks))
    assert [len(batch) for batch in found] == lengths
    assert [block for batch in found for block in batch] == blocks
