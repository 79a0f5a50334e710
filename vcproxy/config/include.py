"""Include: the files that a configuration names in `include`, and those that these name.

A name with a wildcard in its last part stands for the files that match, in the order of their
names; there may be none. Imported only for a configuration with `include`. Tested in
tests/config/test_include.py.
"""

import os
from glob import has_magic
from pathlib import Path

from vcproxy.config.document import Document, read_document
from vcproxy.config.documents import Documents, matches
from vcproxy.config.errors import ConfigError, KeyProblem, Problem
from vcproxy.config.positions import KeyPath

KEY = "include"


def with_included(main: Document) -> Documents:
    """Return a document and all that it includes. Raises ConfigError, whose `files` are complete.

    The key is removed from their trees.
    """
    reader = _Reader()
    reader.read(main, ())
    found = Documents(reader.documents, reader.patterns)
    if reader.problems:
        error = ConfigError(*reader.problems)
        error.files = (*found.watched, *reader.unread)
        raise error
    return found


def recorded(main: Document) -> Documents:
    """Return a document and those that its `include` contains: see `as_recorded`."""
    included = main.tree.pop(KEY)
    assert isinstance(included, list)
    others = [Document(Path(each["file"]), "", each["content"]) for each in included]
    return Documents([main, *others])


def as_recorded(trees: list[tuple[Path, dict[str, object]]]) -> dict[str, object]:
    """Return the trees of documents, each with its file, as one tree: the others are in `include`
    of the first."""
    (_, main), *others = trees
    if not others:
        return main
    included = [{"file": str(file.absolute()), "content": tree} for file, tree in others]
    return {KEY: included, **main}


class _Reader:
    def __init__(self) -> None:
        self.documents: list[Document] = []
        self.patterns: dict[Path, tuple[str, ...]] = {}
        self.problems: list[Problem] = []
        self.unread: list[Path] = []  # files that are missing, or not TOML
        self._included: dict[str, str] = {}  # where each file is included, by its real path

    def read(self, document: Document, chain: tuple[Path, ...]) -> None:
        """Read what a document includes. `chain`: the files that lead to it."""
        self.documents.append(document)
        chain = (*chain, document.file)
        given = document.tree.pop(KEY, [])
        names = given if isinstance(given, list) else [given]
        unset = [problem for problem in document.variable_problems if problem.path[0] == KEY]
        self.problems += document.located(unset)
        for index, name in enumerate(names) if not unset else ():
            path: KeyPath = (KEY, index)
            if isinstance(name, str) and name and "\0" not in name:
                self._include(document, path, name, chain)
            else:
                text = 'must be the path of a file in quotes, as "conf.d/*.toml"'
                self._report(document, path, text)

    def _include(
        self, document: Document, path: KeyPath, name: str, chain: tuple[Path, ...]
    ) -> None:
        place = document.located([KeyProblem(path, "")])[0].place
        for file in self._files(document, path, name):
            real = os.path.realpath(file)
            if real in map(os.path.realpath, chain):
                circle = " -> ".join(map(str, (*chain, file)))
                self._report(document, path, f"the files include one another: {circle}")
            elif real in self._included:
                text = f"{file} is included already, by {self._included[real]}: remove one of both"
                self._report(document, path, text)
            else:
                self._included[real] = place
                self._read(document, path, file, chain)

    def _read(self, document: Document, path: KeyPath, file: Path, chain: tuple[Path, ...]) -> None:
        try:
            included = read_document(file)
        except ConfigError as error:
            self.unread.append(file.absolute())
            [problem] = error.problems
            if problem.line:
                self.problems.append(problem)
            else:
                text = problem.message.replace("cannot read it", f"cannot read {file}")
                self._report(document, path, text)
        else:
            self.read(included, chain)

    def _files(self, document: Document, path: KeyPath, name: str) -> list[Path]:
        file = document.file.parent / name
        if has_magic(str(Path(name).parent)):
            text = f'"{name}": only the last part of a path may have *, ? and []: name the folder'
            self._report(document, path, text)
        elif has_magic(name):
            folder = document.file.absolute().parent / Path(name).parent
            found = matches(folder / file.name)
            self.patterns[folder / file.name] = found
            return [file.parent / Path(each).name for each in found]
        elif file.is_dir():
            text = f"{file} is a directory: write {Path(name) / '*.toml'} for the files in it"
            self._report(document, path, text)
        else:
            return [file]
        return []

    def _report(self, document: Document, path: KeyPath, text: str) -> None:
        self.problems += document.located([KeyProblem(path, text)])
