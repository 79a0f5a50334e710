"""Pages: README and docs as their fenced blocks, links and headings."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]

PAGES = sorted(page for at in ("*.md", "docs/**/*.md", "samples/**/*.md") for page in ROOT.glob(at))

_FENCE = re.compile(r"^```(.*)\n((?:.*\n)*?)```$", re.MULTILINE)
_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
_HEADING = re.compile(r"^#+ (.*)$", re.MULTILINE)


@dataclass(frozen=True)
class Block:
    """A fenced block: its info string and its text."""

    info: str
    text: str

    @property
    def commands(self) -> Iterator[list[str]]:
        """The commands of a block of sh, as words."""
        for line in self.text.replace("\\\n", " ").splitlines():
            if words := shlex.split(line, comments=True):
                yield words


def name(page: Path) -> str:
    """Return a page's path for display."""
    return str(page.relative_to(ROOT))


def blocks(page: Path, *infos: str) -> list[Block]:
    """Return the fenced blocks of a page, or those of some kinds."""
    found = [Block(*match.groups()) for match in _FENCE.finditer(page.read_text())]
    return [block for block in found if not infos or block.info in infos]


def links(page: Path) -> list[str]:
    """Return the targets of a page's links within the project."""
    prose = _FENCE.sub("", page.read_text())
    return [to for to in _LINK.findall(prose) if not to.startswith("https://")]


def anchors(page: Path) -> set[str]:
    """Return the anchors of a page: what a link may have after #."""
    titles = _HEADING.findall(_FENCE.sub("", page.read_text()))
    return {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}
