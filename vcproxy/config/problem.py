"""What is wrong with a configuration: faults by key, and problems by their place in the file."""

from dataclasses import dataclass
from pathlib import Path

from vcproxy.config.place import KeyPath


@dataclass(frozen=True, slots=True)
class KeyFault:
    """Something wrong with the value, or the absence, of a key.

    `because` names other keys that led to it: were they wrong themselves, this is no news.
    """

    path: KeyPath
    message: str
    because: tuple[KeyPath, ...] = ()


class OptionsError(ValueError):
    """The options of a listener cannot be used. The paths of the faults begin in its options.

    An author's own `Options` may raise it, so that each fault is shown at the key that it is about.
    """

    def __init__(self, *faults: KeyFault) -> None:
        super().__init__(*faults)
        self.faults = faults

    def __str__(self) -> str:
        return "; ".join(
            ": ".join(filter(None, (".".join(map(str, fault.path)), fault.message)))
            for fault in self.faults
        )


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """Something wrong at a place in a file.

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
    """Return the end of a message that suggests the known name closest to a wrong one, if any."""
    from difflib import get_close_matches  # only needed once something is wrong

    close = get_close_matches(wrong, known, n=1)
    if not close:  # short names: two letters exchanged, or another case
        close = [name for name in known if sorted(name.lower()) == sorted(wrong.lower())]
    return f'; did you mean "{close[0]}"?' if close else ""
