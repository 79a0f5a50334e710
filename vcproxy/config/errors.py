"""Errors in a configuration: problems by key, and problems by their position in the file.

Tested in tests/config/test_problems.py.
"""

from dataclasses import dataclass
from pathlib import Path

from vcproxy.config.positions import KeyPath


@dataclass(frozen=True, slots=True)
class KeyProblem:
    """Something wrong with the value of a key, or with its absence.

    `because`: other keys that this depends on. If one of them is wrong itself, this problem is not
    reported.
    """

    path: KeyPath
    message: str
    because: tuple[KeyPath, ...] = ()

    def below(self, path: KeyPath) -> "KeyProblem":
        """Return it for a table inside another: all its keys begin with `path`."""
        because = tuple((*path, *key) for key in self.because)
        return KeyProblem((*path, *self.path), self.message, because)


class OptionsError(ValueError):
    """The options of a plugin cannot be used. The paths of the problems begin in the options.

    An author's own `Options` may raise it, so that each problem is shown at its key.
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
    """Something wrong at a position in a file.

    `line` and `column` count from 1; they are 0 if the file could not be read at all.
    """

    file: Path
    line: int
    column: int
    path: str
    message: str

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}:{self.column}" if self.line else f"{self.file}"
        return ": ".join(filter(None, (place, self.path, self.message)))


class ConfigError(Exception):
    """A configuration cannot be used. `problems` has every reason, in the order of the file."""

    def __init__(self, *problems: Problem) -> None:
        super().__init__(*problems)
        self.problems: tuple[Problem, ...] = tuple(sorted(problems))

    def __str__(self) -> str:
        return "\n".join(map(str, self.problems))


def did_you_mean(wrong: str, known: list[str]) -> str:
    """Return the end of a message that suggests the known name closest to a wrong one, or ""."""
    from difflib import get_close_matches  # only needed once something is wrong

    close = get_close_matches(wrong, known, n=1)
    if not close:  # short names: two letters exchanged, or another case
        close = [name for name in known if sorted(name.lower()) == sorted(wrong.lower())]
    return f'; did you mean "{close[0]}"?' if close else ""
