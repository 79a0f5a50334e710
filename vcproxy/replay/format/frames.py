"""Frames: a log file is a magic number followed by frames, each with its own checksums.

A frame contains a turn of the engine, or a part of a long turn; the first frame contains the
header. The payload is preceded by its length, its CRC-32, and the CRC-32 of these two fields. With
the second CRC, a corrupted length can be distinguished from an incomplete frame.

Tested in tests/replay/test_format.py.
"""

from __future__ import annotations

import struct
import zlib
from typing import Final, TypeAlias

Octets: TypeAlias = bytes | bytearray | memoryview

MAGIC: Final = b"vcproxy\0"
VERSION: Final = 5
START: Final = struct.Struct("<8sI")
"""The magic number and the version of the format."""

HEAD: Final = struct.Struct("<III")
_BEGIN, _CHECK = struct.Struct("<II").pack, struct.Struct("<I").pack

_COMPRESSED: Final = 1 << 31

LARGEST: Final = 1 << 28
"""Bytes of a payload: a read is at most 256 KiB, but the sources of plugins may be larger."""


class BrokenFrame(ValueError):
    """A frame is damaged."""


def frame(pieces: list[Octets], compress: bool = False) -> list[Octets]:
    """Return a frame as pieces to write. The payload is given in one or more pieces."""
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
    """Return an uncompressed frame for a payload in one piece. This is the usual case."""
    return _head(len(content), zlib.crc32(content)) + content


def _head(size: int, check: int) -> bytes:
    begin = _BEGIN(size, check)
    return begin + _CHECK(zlib.crc32(begin))


def length(head: bytes) -> int:
    """Return the payload length from a frame head. Raises BrokenFrame."""
    size, _, check = HEAD.unpack(head)
    size &= ~_COMPRESSED
    if check != zlib.crc32(head[:8]) or size > LARGEST:
        raise BrokenFrame("checksum of the frame head is wrong")
    return int(size)


def payload(head: bytes, body: bytes) -> bytes:
    """Return the payload of a frame. Raises BrokenFrame."""
    size, check, _ = HEAD.unpack(head)
    if zlib.crc32(body) != check:
        raise BrokenFrame("checksum of the frame content is wrong")
    if not size & _COMPRESSED:
        return body
    inflating = zlib.decompressobj()
    try:
        inflated = inflating.decompress(body, LARGEST)
    except zlib.error as error:
        raise BrokenFrame(str(error)) from None
    if not inflating.eof:
        raise BrokenFrame("the frame is too large")
    return inflated
