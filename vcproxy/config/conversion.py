"""Conversion: texts of variables as the numbers, or true or false, that their keys want.

`workers = "${WORKERS}"` is a text. A text of a variable that is not valid for its key is read as a
value of TOML, and the table is validated once more. Tested in tests/config/test_variables.py.
"""

import re
import tomllib
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from pydantic import ValidationError

from vcproxy.config.positions import KeyPath

T = TypeVar("T")

_NUMBER_OR_TRUTH = re.compile(r"true|false|[+-]?[0-9][0-9_.eE+-]*|0[xob][0-9a-fA-F_]+")


@dataclass(frozen=True, slots=True)
class Conversion:
    """Which texts of a tree may be converted."""

    paths: Collection[KeyPath] | None = ()
    """Where they are. None: everywhere, in a recorded file, whose texts are values already."""

    def below(self, *path: str | int) -> "Conversion":
        """Return the same for a table inside the tree."""
        if not self.paths:
            return self
        size = len(path)
        return Conversion([each[size:] for each in self.paths if each[:size] == path])

    def validated(self, validate: Callable[[], T], tree: Any) -> T:
        """Return what `validate` makes of a tree, perhaps after texts in it were converted, in
        place. Raises what it raises."""
        try:
            return validate()
        except ValidationError as error:
            if self.paths is not None and not self.paths:
                raise
            details = error.errors(include_url=False, include_context=False)
            converted = [self._convert(tree, each["loc"]) for each in details]
            if not any(converted):
                raise
        return validate()

    def _convert(self, tree: Any, path: KeyPath) -> bool:
        """Convert the text at a path, whose end may be of pydantic's making."""
        for size, part in enumerate(path, 1):
            try:
                value = tree[part]
            except (KeyError, IndexError, TypeError):
                return False
            if not isinstance(value, str):
                tree = value
                continue
            if self.paths is not None and path[:size] not in self.paths:
                return False
            converted = _number_or_truth(value)
            if converted is not None:
                tree[part] = converted
            return converted is not None
        return False


NONE: Final = Conversion()
"""No text may be converted: there are no variables."""

ALL: Final = Conversion(None)


def _number_or_truth(text: str) -> int | float | None:
    if not _NUMBER_OR_TRUTH.fullmatch(text):
        return None
    try:
        value = tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return None
    return value if isinstance(value, int | float) else None  # not a date
