"""Frames: the file of a log, a magic and then pieces that each say whether they are sound.

A frame is a turn of the engine, or a part of a long one; the first holds the header. Before its
payload stand its length, the CRC-32 of the payload, and the CRC-32 of these two: so a length that
has been changed is told from a frame that was never finished.
"""

from __future__ import annotations

import struct
import zlib
from typing import Final, TypeAlias

Octets: TypeAlias = bytes | bytearray | memoryview

MAGIC: Final = b"vcproxy\0"
VERSION: Final = 3
START: Final = struct.Struct("<8sI")
"""The magic and the version of the format."""

HEAD: Final = struct.Struct("<III")
_BEGIN, _CHECK = struct.Struct("<II").pack, struct.Struct("<I").pack

_COMPRESSED: Final = 1 << 31

LARGEST: Final = 1 << 28
"""Bytes of a payload: a read is 256 KiB at most, the sources of plugins are larger than that."""


class BrokenFrame(ValueError):
    """A frame is not what was written."""


def frame(pieces: list[Octets], compress: bool = False) -> list[Octets]:
    """What is to be written for a payload, which may come in pieces."""
    flag = 0
    if compress:
        whole = b"".join(pieces)
        smaller = zlib.compress(whole, level=1)
        if len(smaller) < len(whole):
            pieces, flag = [smaller], _COMPRESSED
    check = 0
    for piece in pieces:
        check = zlib.crc32(piece, check)
    return [_head(sum(map(len, pieces)) | flag, check), *pieces]


def small_frame(content: bytearray) -> Octets:
    """The same for a payload in one piece, as most are, not compressed."""
    return _head(len(content), zlib.crc32(content)) + content


def _head(size: int, check: int) -> bytes:
    begin = _BEGIN(size, check)
    return begin + _CHECK(zlib.crc32(begin))


def length(head: bytes) -> int:
    """How long the payload behind a head is. Raises BrokenFrame."""
    size, _, check = HEAD.unpack(head)
    size &= ~_COMPRESSED
    if check != zlib.crc32(head[:8]) or size > LARGEST:
        raise BrokenFrame("its head has been changed")
    return int(size)


def payload(head: bytes, body: bytes) -> bytes:
    """What a frame holds. Raises BrokenFrame."""
    size, check, _ = HEAD.unpack(head)
    if zlib.crc32(body) != check:
        raise BrokenFrame("its content has been changed")
    if not size & _COMPRESSED:
        return body
    inflating = zlib.decompressobj()
    try:
        inflated = inflating.decompress(body, LARGEST)
    except zlib.error as error:
        raise BrokenFrame(str(error)) from None
    if not inflating.eof:
        raise BrokenFrame("it is too large")
    return inflated
