"""Variables: `${NAME}` and `${file:PATH}` in the texts of a configuration file.

`${NAME}` is the value of an environment variable; `${file:PATH}` is the content of a file, without
its last line end, as systemd credentials and Docker's secrets are handed over; `$${` is the text
`${`. A path is relative to the configuration file, and may contain `${NAME}`. Keys have none.

Where a key wants a number, or true or false, the text of a variable is read as one: see
`Conversion`. Imported only if a file has `${`. Tested in tests/config/test_variables.py.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from vcproxy.config.errors import KeyProblem
from vcproxy.config.positions import KeyPath
from vcproxy.config.secret import MOST
from vcproxy.input_files import read_file

MARK = "${"

_VARIABLE = re.compile(
    r"""
    (?P<escaped> \$\$\{ )
  | \$\{ file: (?P<path> (?: \$\{[A-Za-z_][A-Za-z0-9_]*\} | [^{}] )+ ) \}
  | \$\{ (?P<name> [A-Za-z_][A-Za-z0-9_]* ) \}
  | (?P<other> \$\{ [^{}]* \}? )
    """,
    re.VERBOSE,
)

_INNER = re.compile(r"\$\{([^{}]*)\}")
"""A variable in the path of a file."""

SHORT = 8
"""Characters: shorter texts may be in words of a message by chance."""


@dataclass(frozen=True, slots=True)
class FromFiles:
    """A text of the configuration with the content of files in it."""

    written: str
    """As it is in the configuration, with absolute paths."""
    contents: Mapping[str, str]
    """The content of each file, by the variable as it is in `written`."""

    def hide(self, text: str) -> str:
        """Return a text with the variables in place of the contents."""
        for variable, content in self.contents.items():
            if content:
                text = text.replace(content, variable).replace(json.dumps(content)[1:-1], variable)
        return text

    def hide_in_message(self, message: str) -> str:
        """The same for an error. A short content is replaced only where it is a word: parts of
        other words that are replaced would tell what it is."""
        whole = self.written
        for variable, content in self.contents.items():
            whole = whole.replace(variable, content)
        shown = {whole: self.written} | {text: name for name, text in self.contents.items()}
        for content, variable in shown.items():
            for form in {content, json.dumps(content)[1:-1]} - {""}:
                word = r"(?<!\w){}(?!\w)" if len(content) < SHORT else "{}"
                by = variable.replace("\\", r"\\")
                message = re.sub(word.format(re.escape(form)), by, message)
        return message


class Variables:
    """The variables of one document, and what was wrong with them."""

    def __init__(self, directory: Path, environment: Mapping[str, str]) -> None:
        """`directory`: the base of relative paths."""
        self.paths: set[KeyPath] = set()
        """Where texts with variables are."""
        self.from_files: dict[KeyPath, FromFiles] = {}
        """Where texts with contents of files are: they are shown nowhere."""
        self.files: dict[Path, bytes] = {}
        """The content of the files; b"" of one that cannot be read."""
        self.named: list[tuple[KeyPath, Path]] = []
        """The files, by the key that names them."""
        self.problems: list[KeyProblem] = []
        self._directory = directory
        self._environment = environment

    def expand(self, value: object, path: KeyPath = ()) -> object:
        """Return a value of the tree with the variables in its texts replaced.

        One that has no value is a problem, and stays.
        """
        if isinstance(value, dict):
            return {key: self.expand(each, (*path, key)) for key, each in value.items()}
        if isinstance(value, list):
            return [self.expand(each, (*path, index)) for index, each in enumerate(value)]
        return self._text(value, path) if isinstance(value, str) and MARK in value else value

    def _text(self, text: str, path: KeyPath) -> str:
        contents: dict[str, str] = {}
        found: list[str] = []
        written: list[str] = []
        end = 0
        self.paths.add(path)
        for match in _VARIABLE.finditer(text):
            between = text[end : match.start()]
            end = match.end()
            as_written, value = match[0], self._value(match, path)
            if match["path"] is not None:
                as_written = f"${{file:{self._file(match, path)}}}"
                contents[as_written] = value
            found += between, value
            written += between, as_written
        found.append(text[end:])
        written.append(text[end:])
        if contents:
            self.from_files[path] = FromFiles("".join(written), contents)
        return "".join(found)

    def _value(self, match: re.Match[str], path: KeyPath) -> str:
        if match["escaped"]:
            return MARK
        if match["path"] is not None:
            file = self._file(match, path)
            unset = any(each not in self._environment for each in _INNER.findall(match["path"]))
            return "" if unset else self._content(file, path)
        if match["name"] is not None:
            return self._variable(match["name"], path)
        self._report(
            path,
            f"{match[0]} is no variable: write ${{NAME}}, ${{file:PATH}}, or $${{ for the "
            "characters themselves",
        )
        return match[0]

    def _variable(self, name: str, path: KeyPath) -> str:
        value = self._environment.get(name)
        if value is None:
            self._report(
                path,
                f"the environment variable {name} is not set: set it, or write $${{{name}}} for "
                "the text itself",
            )
            return f"${{{name}}}"
        return value

    def _file(self, match: re.Match[str], path: KeyPath) -> Path:
        """Return the path of a file, with its own variables replaced."""

        def replaced(inner: re.Match[str]) -> str:
            return self._variable(inner[1], path)

        return self._directory / _INNER.sub(replaced, match["path"])

    def _content(self, file: Path, path: KeyPath) -> str:
        if file not in self.files:
            self.named.append((path, file))
            self.files[file] = self._read(file, path)
        try:
            text = self.files[file].decode()
        except UnicodeDecodeError:
            self._report(path, f"cannot read {file}: it is not UTF-8")
            return ""
        return text.removesuffix("\n").removesuffix("\r")

    def _read(self, file: Path, path: KeyPath) -> bytes:
        try:
            return read_file(file, MOST)
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it is no path"
            self._report(path, f"cannot read {file}: {reason}")
            return b""

    def _report(self, path: KeyPath, text: str) -> None:
        problem = KeyProblem(path, text)
        if problem not in self.problems:
            self.problems.append(problem)
