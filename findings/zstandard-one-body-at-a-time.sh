#!/bin/sh
# Two compression objects of one ZstdCompressor of python-zstandard share its state: while the first
# is in use, a second one corrupts its own output, without an error. A frame that is compressed piece
# by piece, as for a client, needs a ZstdCompressor of its own. The parameters may be shared.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --disable-pip-version-check zstandard==0.25.0 2>/dev/null
timeout 60 "$folder/venv/bin/python" - <<'PYTHON'
import sys

import zstandard
from zstandard import COMPRESSOBJ_FLUSH_BLOCK, ZstdCompressor, ZstdDecompressor, ZstdError

def decoded(frame):
    """Return what a frame has; None: it is corrupt."""
    try:
        return ZstdDecompressor().decompressobj().decompress(frame)
    except ZstdError:
        return None

def compressed(one, two):
    """Compress two bodies piece by piece, in turn; return how many frames have their body."""
    bodies, frames = (b"a" * 100_000, b"b" * 1_000), [b"", b""]
    for piece in range(2):
        for at, each in enumerate((one, two)):
            frames[at] += each.compress(bodies[at]) + each.flush(COMPRESSOBJ_FLUSH_BLOCK)
    for at, each in enumerate((one, two)):
        frames[at] += each.flush()
    return sum(decoded(frame) == 2 * body for frame, body in zip(frames, bodies))

shared = ZstdCompressor()
together = compressed(shared.compressobj(), shared.compressobj())
apart = compressed(ZstdCompressor().compressobj(), ZstdCompressor().compressobj())
print("zstandard", zstandard.__version__)
print(f"of one ZstdCompressor:  {together} of 2 bodies can be decoded")
print(f"of two ZstdCompressors: {apart} of 2")
sys.exit(not (together < 2 and apart == 2))
PYTHON
