"""Content codings: the compressors of gzip, br and zstd, and what each may cost.

No level is offered whose worst input holds up a net thread: of 64 KiB of two letters in random
order, gzip takes 5 ms at level 6 and 120 ms at level 9 (zlib 1.2.13), br 2 ms at 6 and 13 ms of
plain text at 9, zstd 1 ms at 6 and 20 ms of plain text at 12. Tested in
tests/http/duties/test_codings.py.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from importlib import import_module
from typing import Any, Final, NamedTuple

KIB = 1024


class Compressor(NamedTuple):
    """Compresses one body."""

    feed: Callable[[bytes], bytes]
    """Takes bytes of the body; returns compressed ones, perhaps none yet."""
    flush: Callable[[], bytes]
    """Returns the rest of what can be decoded of the bytes fed so far."""
    finish: Callable[[], bytes]
    """Returns the end of the compressed body."""


@dataclass(frozen=True)
class Coding:
    """A content coding."""

    make: Callable[[int, int], Compressor]
    """Returns a compressor of a level, for a body of so many bytes, 0: not known."""
    level: int
    """The default level."""
    most: int
    """The highest level."""
    memory: Callable[[int], int]
    """Returns the bytes that a compressor of a level needs."""
    library: str = ""
    """The module that it needs; "": none but Python's."""
    package: str = ""
    """The package that has the module."""

    def missing(self) -> bool:
        """Return whether the library is not installed."""
        try:
            _load(self.library or "zlib")
        except ImportError:
            return True
        return False


@lru_cache
def _load(name: str) -> Any:
    return import_module(name)


def _gzip(level: int, size: int) -> Compressor:
    # 31: a window of 32 KiB, in the format of gzip. A small body needs a small one, which is faster
    # to clear; deflate has a fault with windows of 256 bytes, hence 9 at least.
    bits = min(15, max(9, (size - 1).bit_length())) if size else 15
    made = zlib.compressobj(level, zlib.DEFLATED, 16 + bits, zlib.DEF_MEM_LEVEL)
    sync = zlib.Z_SYNC_FLUSH
    return Compressor(made.compress, lambda: made.flush(sync), made.flush)


WINDOW = 18
"""The logarithm of the window of br and zstd: 256 KiB, in which nearly all repetitions of a page
are; the libraries' own are 4 and 2 MiB, so that ten times as many bodies fit into the memory."""


def _br(level: int, size: int) -> Compressor:
    made = _load("brotli").Compressor(quality=level, lgwin=WINDOW)
    return Compressor(made.process, made.flush, made.finish)


def _zstd(level: int, size: int) -> Compressor:
    zstandard = _load("zstandard")
    parameters = _zstd_parameters(level)
    # of one ZstdCompressor, only one body can be compressed at a time
    made = zstandard.ZstdCompressor(compression_params=parameters).compressobj(size or -1)
    block = zstandard.COMPRESSOBJ_FLUSH_BLOCK
    return Compressor(made.compress, lambda: made.flush(block), made.flush)


@lru_cache
def _zstd_parameters(level: int) -> Any:
    zstandard = _load("zstandard")
    return zstandard.ZstdCompressionParameters.from_level(level, window_log=WINDOW)


def keep_freed_memory() -> None:
    """Let glibc keep the memory of a compressor for the next one, up to 8 MiB.

    By default it returns it to the kernel, which clears it page by page for the next compressor:
    a fifth of the CPU of a page of 100 KiB. When a block of this size is freed, glibc raises its
    limits (mallopt(3), M_MMAP_THRESHOLD). Other C libraries are not affected.
    """
    bytes(4 * KIB * KIB)


CODINGS: Final = {
    # Level 4 is a tenth smaller than 1, in 1.6 times its time; 6 is 3 % smaller, in 2.4 times that
    "gzip": Coding(_gzip, 4, 6, lambda level: 256 * KIB),
    # 3 is as small as gzip at 4, in two thirds of its time; 4 is 2 % smaller, in twice that
    "br": Coding(_br, 3, 6, lambda level: (1 if level < 4 else 3) * KIB * KIB, "brotli", "brotli"),
    # 3 is as small as gzip at 4, in a third of its time
    "zstd": Coding(
        _zstd, 3, 6, lambda level: (1 if level < 5 else 3) * KIB * KIB, "zstandard", "zstandard"
    ),
}
"""All codings, by their names in Accept-Encoding. Figures: of 64 KiB of Markdown. Memory: measured;
gzip: as zlib's zconf.h computes it."""
