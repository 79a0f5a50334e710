"""Documents: a configuration file and the files that it includes.

Their tables are one configuration. Listeners are appended, in the order of the files; of every
other table the keys are put together, and no key may stand in two files. A key of the whole
configuration belongs to one document, which has its place and the base of its relative paths.

Tested in tests/config/test_include.py.
"""

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from vcproxy.config.document import Document
from vcproxy.config.errors import ConfigError, KeyProblem, Problem
from vcproxy.config.positions import KeyPath
from vcproxy.config.schema import Settings
from vcproxy.config.values import Table


class Documents:
    """A file, its own document first, and those that it includes in the order of their use."""

    def __init__(
        self,
        all_of_them: Sequence[Document],
        patterns: Mapping[Path, tuple[str, ...]] | None = None,
    ) -> None:
        """`patterns`: see the attribute."""
        self.all = tuple(all_of_them)
        self.patterns = dict(patterns or {})
        """The files that each pattern of `include` has matched: an absolute path with wildcards."""
        counts = [len(listeners(each.tree)) for each in self.all]
        self._first = [sum(counts[:number]) for number in range(len(counts))]

    @property
    def files(self) -> dict[Path, bytes]:
        """The content of every file that was read, by its absolute path."""
        found: dict[Path, bytes] = {}
        for each in self.all:
            found |= {each.file.absolute(): each.content, **each.named_files}
        return found

    @property
    def watched(self) -> tuple[Path, ...]:
        """What to watch for changes: the files, and the directories in which more may appear."""
        return (*self.files, *dict.fromkeys(each.parent for each in self.patterns))

    def of(self, path: KeyPath) -> tuple[int, KeyPath]:
        """Return the number of the document of a key, and the path of the key in it."""
        if len(self.all) == 1:
            return 0, path
        match path:
            case ("listener", int(index), *rest):
                number = max(n for n, first in enumerate(self._first) if first <= index)
                return number, ("listener", index - self._first[number], *rest)
            case (table, key, *_):
                for number, document in enumerate(self.all):
                    if key in _table(document, table):
                        return number, path
        return next((n for n, each in enumerate(self.all) if each.tree.keys() & path[:1]), 0), path

    def whole(self, number: int, path: KeyPath) -> KeyPath:
        """Return the path in the whole configuration of a key in the document of a number."""
        match path:
            case ("listener", int(index), *rest):
                return ("listener", self._first[number] + index, *rest)
        return path

    def whole_problem(self, number: int, problem: KeyProblem) -> KeyProblem:
        """Return a problem of the document of a number, for the whole configuration."""
        because = tuple(self.whole(number, each) for each in problem.because)
        return KeyProblem(self.whole(number, problem.path), problem.message, because)

    def error(self, problems: Iterable[KeyProblem]) -> ConfigError:
        """Return a ConfigError with these problems, each with its position in its file."""
        return ConfigError(*self.located(problems))

    def located(self, problems: Iterable[KeyProblem]) -> tuple[Problem, ...]:
        """Return these problems with their positions, in the order of the files."""
        found: dict[int, list[KeyProblem]] = {}
        for problem in problems:
            number, path = self.of(problem.path)
            found.setdefault(number, []).append(KeyProblem(path, problem.message))
        return tuple(
            each for number in sorted(found) for each in self.all[number].located(found[number])
        )

    def twice(self) -> Iterator[KeyProblem]:
        """Yield the keys that stand in two documents. The place of each is that in the first."""
        first: set[KeyPath] = set()
        for document in self.all if len(self.all) > 1 else ():
            for name, table in document.tree.items():
                for key in table if isinstance(table, dict) else ():
                    path: KeyPath = (name, key)
                    if path in first:
                        [other] = document.located([KeyProblem(path, "")])
                        text = f"stands in {other.place} too: remove one of the two"
                        yield KeyProblem(path, text)
                    first.add(path)

    def merged(self, settings: Sequence[Settings]) -> Settings:
        """Return the settings of all documents as those of one file."""
        first, *others = settings
        if not others:
            return first
        update: dict[str, Any] = {}
        for name in Settings.model_fields:
            values = [getattr(each, name) for each in settings]
            if isinstance(values[0], tuple):
                update[name] = tuple(item for value in values for item in value)
            elif isinstance(values[0], dict):
                update[name] = {key: item for value in values for key, item in value.items()}
            else:
                update[name] = _together(values)
        return first.model_copy(update=update)


def listeners(tree: Mapping[str, Any]) -> list[Any]:
    """Return the tables of the listeners in the tree of a document."""
    found = tree.get("listener")
    return found if isinstance(found, list) else []


def _table(document: Document, name: object) -> Mapping[str, Any]:
    found = document.tree.get(str(name))
    return found if isinstance(found, dict) else {}


def _together(tables: Sequence[Table | None]) -> Table | None:
    """Return a table with the keys that any of these sets."""
    found = [each for each in tables if each is not None]
    if not found:
        return None
    keys = {key: getattr(each, key) for each in found for key in each.model_fields_set}
    return found[0].model_copy(update=keys)


def matches(pattern: Path) -> tuple[str, ...]:
    """Return the files that match a path with wildcards in its last part, by name."""
    from glob import escape, glob  # most configurations have no patterns

    return tuple(sorted(glob(os.path.join(escape(str(pattern.parent)), pattern.name))))
