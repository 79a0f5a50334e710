"""Errors in a configuration: problems with the key, and problems with the position in the file.

Tested in tests/config/test_problems.py.
"""

from dataclasses import dataclass, replace
from pathlib import Path

from vcproxy.config.positions import KeyPath


@dataclass(frozen=True, slots=True)
class KeyProblem:
    """A problem with the value of a key, or a missing key.

    `because`: other keys that cause this problem. If one of them has a problem itself, this one is
    not reported.
    """

    path: KeyPath
    message: str
    because: tuple[KeyPath, ...] = ()

    def below(self, path: KeyPath) -> "KeyProblem":
        """Return a copy for a table inside another table: `path` is put before all its keys."""
        because = tuple((*path, *key) for key in self.because)
        return KeyProblem((*path, *self.path), self.message, because)


class OptionsError(ValueError):
    """The options of a plugin are invalid. The paths of the problems are relative to the options.

    A plugin's own `Options` may raise it to report each problem at its key.
    """

    def __init__(self, *problems: KeyProblem) -> None:
        super().__init__(*problems)
        self.problems = problems

    def __str__(self) -> str:
        return "; ".join(
            ": ".join(filter(None, (".".join(map(str, each.path)), each.message)))
            for each in self.problems
        )


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """A problem at a position in a file.

    `line` and `column` count from 1; they are 0 if the file could not be read at all.
    """

    file: Path
    line: int
    column: int
    path: str
    message: str

    @property
    def place(self) -> str:
        """FILE:LINE:COLUMN."""
        return f"{self.file}:{self.line}:{self.column}" if self.line else f"{self.file}"

    def __str__(self) -> str:
        return ": ".join(filter(None, (self.place, self.path, self.message)))

    def as_warning(self) -> str:
        """Return its text for a warning, which is no error."""
        return str(replace(self, message=f"warning: {self.message}"))


class ConfigError(Exception):
    """A configuration is invalid. `problems` contains every problem, in the order of the file."""

    def __init__(self, *problems: Problem) -> None:
        super().__init__(*problems)
        self.problems: tuple[Problem, ...] = tuple(sorted(problems))
        self.files: tuple[Path, ...] = ()
        """Further files that the configuration names: when they change, it may be valid."""
        self.warnings: tuple[Problem, ...] = ()
        """What is not wrong, but probably not meant: see `vcproxy.config.key_warnings`."""

    def __str__(self) -> str:
        return "\n".join(map(str, self.problems))


def did_you_mean(wrong: str, known: list[str]) -> str:
    """Return the end of a message: a suggestion of the closest known name, or "". A number, as a
    version, is no misspelt name."""
    if wrong[:1].isdigit():
        return ""
    from difflib import get_close_matches  # imported only if there is an error

    close = get_close_matches(wrong, known, n=1)
    if not close:  # short names: transposed letters, or different case
        close = [name for name in known if sorted(name.lower()) == sorted(wrong.lower())]
    return f'; did you mean "{close[0]}"?' if close else ""
