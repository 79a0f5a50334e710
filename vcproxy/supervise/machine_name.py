"""MachineName: the name of a machine that runs as a process: `family/Child#Alice`.

A name is a path below the served directory, and optionally `#` and a tag, which distinguishes
machines of one program. Names travel as one word of a message and as one field of a list.
"""

from __future__ import annotations

from dataclasses import dataclass

LONGEST = 200
"""Bytes in a name. The name of its log file has 18 more, and file systems allow 255."""


@dataclass(frozen=True, slots=True)
class MachineName:
    """A valid name: its path cannot lead out of the directory, except by a symbolic link."""

    path: str
    """The path of the program below the served directory: `family/Child`."""
    tag: str = ""
    """What follows the first `#`; not a part of the path."""

    @classmethod
    def parse(cls, text: str) -> MachineName:
        """Return the name in a text. Raises ValueError with the reason if it is not valid."""
        path, hash_, tag = text.partition("#")
        parts = path.split("/")
        problem = ""
        if not path:
            problem = "it has no path, as in family/Child#Alice"
        elif len(text.encode(errors="surrogateescape")) > LONGEST:
            problem = f"it is longer than {LONGEST} bytes"
        elif not text.isprintable() or " " in text:
            problem = "it contains a space or a character that cannot be printed"
        elif "," in text:
            problem = "it contains a comma, which separates the fields of a list"
        elif hash_ and not tag:
            problem = "its tag is empty"
        elif not parts[0]:
            problem = "it is an absolute path; names are paths below the served directory"
        elif ".." in parts:
            problem = 'it leads out of the served directory with ".."'
        elif "" in parts or "." in parts:
            problem = 'a part of its path is empty or "."'
        if problem:
            raise ValueError(f'"{text[:LONGEST]}" is not the name of a machine: {problem}')
        return cls(path, tag)

    @property
    def file_name(self) -> str:
        """The name as part of the name of a file: `/` and `#` become `_`."""
        return str(self).replace("/", "_").replace("#", "_")

    def __str__(self) -> str:
        return f"{self.path}#{self.tag}" if self.tag else self.path
