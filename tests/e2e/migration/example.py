"""Example: a piece of a migration page, as the files of both programs and what clients see.

The blocks of a page, in their order:

    any other block     a file of the other program; its name is the second word of the info, if any
    toml, python        files of vcproxy: its configuration; a plugin, named by its first line
    text NAME both      a file of both
    console both        commands, and lines that both print
    console vcproxy     the same where they differ: what vcproxy prints; with the name of the page,
                        what the other program prints
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from tests.docs.pages import ROOT, Block

FOLDER = ROOT / "docs" / "migration"

_PART = re.compile(r"^#+ (.*)\n|^```(.*)\n((?:.*\n)*?)```$", re.MULTILINE)


class Step(NamedTuple):
    """A command of a page."""

    to: str
    """ "both", "vcproxy", or the name of the page."""
    command: str
    lines: list[str]
    """Lines of its output, in order."""


@dataclass
class Example:
    """What stands under one heading of a page."""

    page: str
    title: str
    theirs: dict[str, str] = field(default_factory=dict)
    """Files of the other program by name; the name of a block without one is its language."""
    ours: dict[str, str] = field(default_factory=dict)
    """The same for vcproxy."""
    steps: list[Step] = field(default_factory=list)

    def add(self, block: Block) -> None:
        """Take a block of the page."""
        language, _, name = block.info.partition(" ")
        if language == "console":
            assert name in ("both", "vcproxy", self.page)
            for step in re.split(r"^\$ ", block.text, flags=re.MULTILINE)[1:]:
                command, _, output = step.replace("\\\n", " ").partition("\n")
                self.steps.append(Step(name, command, output.splitlines()))
        elif block.info == "python":
            named = re.match(r"# (\w+\.py)\n", block.text)
            assert named, f"{self.page}: its first line must name the file"
            self.ours[named[1]] = block.text
        elif name.endswith(" both"):
            name = name.removesuffix(" both")
            self.ours[name] = self.theirs[name] = block.text
        elif language == "toml":
            self.ours["proxy.toml"] = block.text
        else:
            self.theirs[name or language] = block.text

    def __str__(self) -> str:
        return f"{self.page}: {self.title}"


def examples(page: Path) -> Iterator[Example]:
    """Yield the examples of a page: the headings under which there are commands."""
    example = Example(page.stem, "")
    for title, info, text in _PART.findall(page.read_text()):
        if title:
            if example.steps:
                yield example
            example = Example(page.stem, title)
        else:
            example.add(Block(info, text))
    if example.steps:
        yield example


EXAMPLES = [each for page in sorted(FOLDER.glob("*.md")) for each in examples(page)]
