"""Definitions: which parameters a command has, read from files (eventdispatcher.md 2).

A file `COMMAND.conf` has a section for each parameter:

    description = Ask whether a process answers.   (of the command, before the first section)

    [serial]
    type = integer
    flags = optional
    description = A number that the answer repeats.

The types are string (the default), integer, address and timespec; the flags are required,
optional (also spelled allowed or defined), forbidden and empty (an empty value is valid). Without
`flags`, a parameter is required and may be empty. Parameters that a file does not mention are not
checked. The package has such files of the standard messages.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Final

from vcproxy.bus.message.bus_message import BusMessage
from vcproxy.bus.message.invalid_message import printable
from vcproxy.bus.message.parameter_values import address, integer, timespec

TYPES: Final[Mapping[str, Callable[[str], object] | None]] = {
    "string": None,
    "integer": integer,
    "address": address,
    "timespec": timespec,
}
"""The types of parameters, and what raises ValueError for a text that is none of the type."""

FLAGS: Final = ("required", "optional", "allowed", "defined", "forbidden", "empty")

_LINE = re.compile(r"\[(?P<section>[^]]*)\]|(?P<key>\w+)\s*=\s*(?P<value>.*)")
_COMMAND = re.compile(r"[A-Z_][A-Z0-9_]*")


@dataclass(frozen=True, slots=True)
class ParameterDefinition:
    """What the value of one parameter has to be."""

    name: str
    type: str = "string"
    required: bool = True
    forbidden: bool = False
    may_be_empty: bool = True
    description: str = ""

    def problem(self, value: str | None) -> str | None:
        """Return what is wrong with a value (None: there is none), None if it is right."""
        if value is None:
            return f'the parameter "{self.name}" is missing' if self.required else None
        if self.forbidden:
            return f'the parameter "{self.name}" is not allowed'
        if not value:
            return None if self.may_be_empty else f'the parameter "{self.name}" is empty'
        convert = TYPES[self.type]
        if convert is not None:
            try:
                convert(value)
            except ValueError as error:
                return printable(f'{self.name}="{value}": {error}')
        return None


@dataclass(frozen=True, slots=True)
class Definition:
    """The parameters of one command."""

    command: str
    description: str = ""
    parameters: tuple[ParameterDefinition, ...] = ()

    def problems(self, message: BusMessage) -> list[str]:
        """Return what is wrong with the parameters of a message; [] if nothing."""
        values = message.parameters
        found = (parameter.problem(values.get(parameter.name)) for parameter in self.parameters)
        return [problem for problem in found if problem is not None]


class InvalidDefinitions(ValueError):
    """Files that define no messages; `problems` has a line `FILE:LINE: what is wrong` for each."""

    problems: list[str]

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


@dataclass(slots=True)
class Definitions:
    """Definitions by command."""

    by_command: dict[str, Definition] = field(default_factory=dict)

    def add(self, definition: Definition) -> None:
        """Add a definition, in place of one of the same command."""
        self.by_command[definition.command] = definition

    def get(self, command: str) -> Definition | None:
        """Return the definition of a command, None if there is none."""
        return self.by_command.get(command)

    def problems(self, message: BusMessage) -> list[str]:
        """Return what is wrong with a message, each as a sentence's part; [] if nothing is, or the
        command is not defined."""
        definition = self.by_command.get(message.command)
        return [] if definition is None else definition.problems(message)

    def __iter__(self) -> Iterator[Definition]:
        """Yield the definitions in the order of their commands."""
        return (self.by_command[command] for command in sorted(self.by_command))


def load(directories: Iterable[Path] = (), *, builtin: bool = True) -> Definitions:
    """Return the definitions of the files in these directories, and the built-in ones.

    The first file of a command counts; the built-in files come last. It reads files, so it is for
    the start of a program, not for an engine. Raises InvalidDefinitions with all problems.
    """
    definitions = Definitions()
    problems: list[str] = []
    for directory in directories:
        try:
            files = sorted(file for file in directory.iterdir() if file.suffix == ".conf")
        except OSError as error:
            problems.append(
                f"{directory}: the definitions of messages cannot be read: {error.strerror}"
            )
            continue
        for file in files:
            try:
                text = file.read_text(encoding="utf-8")
            except (OSError, UnicodeDecodeError) as error:
                reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
                problems.append(f"{file}: the file cannot be read: {reason}")
            else:
                _add(definitions, problems, str(file), file.stem, text)
    if builtin:
        for entry in (resources.files("vcproxy.bus.message") / "builtin").iterdir():
            command = entry.name.removesuffix(".conf")
            _add(definitions, problems, entry.name, command, entry.read_text(encoding="utf-8"))
    if problems:
        raise InvalidDefinitions(problems)
    return definitions


def _add(
    definitions: Definitions, problems: list[str], place: str, command: str, text: str
) -> None:
    try:
        definition = parse(command, text, place)
    except InvalidDefinitions as error:
        problems.extend(error.problems)
    else:
        definitions.by_command.setdefault(command, definition)


def parse(command: str, text: str, place: str = "") -> Definition:
    """Return the definition of a file's text; `place`, the file, is for errors.

    Raises InvalidDefinitions with all problems of the text.
    """
    place = place or f"{command}.conf"
    problems = []
    if not _COMMAND.fullmatch(command):
        problems.append(
            f"{place}: a file is named for its command, which consists of upper-case letters, "
            "digits and _"
        )
    sections: dict[str, dict[str, tuple[int, str]]] = {"": {}}
    lines_of: dict[str, int] = {}
    section = ""
    for number, line in enumerate(text.splitlines(), 1):
        line = line.strip()
        if not line or line[0] in "#;":
            continue
        found = _LINE.fullmatch(line)
        if found is None:
            problems.append(f'{place}:{number}: "{line}" is neither [name] nor name = value')
        elif found["section"] is not None:
            section = found["section"].strip()
            if section in lines_of:
                problems.append(f'{place}:{number}: the parameter "{section}" is defined twice')
            elif not (section.isascii() and section.isidentifier()):
                problems.append(f'{place}:{number}: "{section}" is not the name of a parameter')
            lines_of[section] = number
            sections.setdefault(section, {})
        else:
            known = ("type", "flags", "description") if section else ("description",)
            if found["key"] not in known:
                names = ", ".join(known)
                problems.append(f'{place}:{number}: unknown key "{found["key"]}": here is {names}')
            elif found["key"] in sections[section]:
                problems.append(f'{place}:{number}: "{found["key"]}" is given twice')
            sections[section][found["key"]] = (number, found["value"].strip())
    general = sections.pop("")
    parameters = []
    for name, keys in sections.items():
        parameter = _parameter(name, keys, place, problems)
        if parameter is not None:
            parameters.append(parameter)
    if problems:
        raise InvalidDefinitions(problems)
    return Definition(command, general.get("description", (0, ""))[1], tuple(parameters))


def _parameter(
    name: str, keys: dict[str, tuple[int, str]], place: str, problems: list[str]
) -> ParameterDefinition | None:
    description = keys.get("description", (0, ""))[1]
    number, kind = keys.get("type", (0, "string"))
    if kind not in TYPES:
        problems.append(f'{place}:{number}: "{kind}" is not a type: {", ".join(TYPES)} are')
        return None
    if "flags" not in keys:
        return ParameterDefinition(name, kind, description=description)
    number, text = keys["flags"]
    flags = {flag.strip() for flag in text.split(",") if flag.strip()}
    unknown = sorted(flags.difference(FLAGS))
    if unknown:
        problems.append(f'{place}:{number}: "{unknown[0]}" is not a flag: {", ".join(FLAGS)} are')
        return None
    optional = not flags.isdisjoint(("optional", "allowed", "defined"))
    required, forbidden, empty = (flag in flags for flag in ("required", "forbidden", "empty"))
    if required + optional + forbidden > 1 or (forbidden and empty):
        problems.append(f'{place}:{number}: the flags of "{name}" contradict each other: {text}')
        return None
    return ParameterDefinition(
        name,
        kind,
        required=not optional and not forbidden,
        forbidden=forbidden,
        may_be_empty=empty,
        description=description,
    )
