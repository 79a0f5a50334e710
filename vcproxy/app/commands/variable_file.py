"""Files of variables, `name = value`, as eventdispatcher's programs are configured by.

Tested in tests/app/commands/test_signal_command.py.
"""

from __future__ import annotations

import re
from pathlib import Path

_VARIABLE = re.compile(r"([A-Za-z0-9_.:-]+)\s*[=:]\s*(.*)")
_SECTION = re.compile(r"\[\s*([^\]\s]+)\s*\]")


class WrongVariables(ValueError):
    """The file cannot be read, or has no such variable; the text names it."""


def read_variables(file: Path) -> dict[str, str]:
    """Return the variables of a file; "section::name" for those of a section.

    Lines that begin with `#` or `;` are comments. `-` and `_` in names are the same: names are
    returned with `_`. Quotes around a value are removed. Raises WrongVariables.
    """
    try:
        lines = file.read_text(errors="surrogateescape").splitlines()
    except OSError as error:
        raise WrongVariables(f"{file}: {(error.strerror or str(error)).lower()}") from None
    found: dict[str, str] = {}
    section = ""
    for number, line in enumerate(map(str.strip, lines), 1):
        if not line or line[0] in "#;":
            continue
        if heading := _SECTION.fullmatch(line):
            section = f"{_canonical(heading[1])}::"
        elif variable := _VARIABLE.fullmatch(line):
            value = variable[2]
            if len(value) > 1 and value[0] == value[-1] and value[0] in "\"'":
                value = value[1:-1]
            found[section + _canonical(variable[1])] = value
        else:
            raise WrongVariables(f"{file}:{number}: write name = value, not: {line}")
    return found


def read_variable(file: Path, name: str) -> str:
    """Return the value of one variable of a file. Raises WrongVariables."""
    variables = read_variables(file)
    value = variables.get(_canonical(name))
    if value is None:
        there = ", ".join(variables) or "none"
        raise WrongVariables(f"{file}: there is no variable {name}, only: {there}")
    return value


def _canonical(name: str) -> str:
    return name.replace("-", "_")
