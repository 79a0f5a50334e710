"""Prints a text of so many bytes, which compresses as prose does: `python text.py BYTES`.

The words are random, always the same, and as often as in a language (Zipf's law).
"""

import sys
from random import Random

LETTERS = "etaoinshrdlucmfwyp"
WORDS = 3000


def text(size: int) -> str:
    """Return a text of `size` bytes."""
    random = Random(18)
    words = ["".join(random.choices(LETTERS, k=random.randint(2, 9))) for _ in range(WORDS)]
    weights = [1 / (rank + 1) for rank in range(WORDS)]
    return " ".join(random.choices(words, weights, k=size // 2))[:size]


if __name__ == "__main__":
    sys.stdout.write(text(int(sys.argv[1])))
