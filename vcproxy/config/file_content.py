"""FileContent: an option that names a file, whose content is read with the configuration.

    PageFile = Annotated[FileContent[bytes], *content_of(bytes)]

The file is watched, also without `[proxy] watch`. When it changes, it is read again: see `reread`;
one that cannot be used is refused, and the old content stays in use. Tested in
tests/config/test_file_content.py.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, TypeAlias, TypeVar

from pydantic import PlainSerializer, PlainValidator, ValidationInfo, WithJsonSchema

from vcproxy import input_files

T = TypeVar("T")

ReadFile: TypeAlias = Callable[[Path, Callable[[bytes], bytes]], bytes]
"""Returns the content of a file; the function returns what a recording may have of it."""


@dataclass(frozen=True)
class FileContent(Generic[T]):
    """A file, and what was made of its content."""

    path: Path
    value: T = field(repr=False)
    private: bool = False
    """Whether it has secrets: then a recording has another content, and `-t` warns if all users of
    the system can read it."""
    reader: Callable[[Path, ReadFile], FileContent[T]] | None = field(
        default=None, repr=False, compare=False
    )
    """Makes it again."""

    def again(self, read: ReadFile) -> FileContent[T]:
        """Return it with the current content of the file. Raises ValueError."""
        return self if self.reader is None else self.reader(self.path, read)


def content_of(
    read: Callable[[bytes], T], *, recorded: Callable[[bytes], bytes] | None = None
) -> tuple[PlainValidator, PlainSerializer, WithJsonSchema]:
    """Return the annotations of an option of this type.

    Args:
        read: makes the value of the content; raises ValueError.
        recorded: for a file with secrets: returns what a recording has of a content that `read`
            accepts, of the same form; raises ValueError like `read`.
    """

    def make(path: Path, read_content: ReadFile) -> FileContent[T]:
        content = read_content(path, recorded or bytes)
        try:
            value = read(content)
        except ValueError as problem:
            raise ValueError(f"{path}: {problem}") from None
        return FileContent(path, value, private=recorded is not None, reader=make)

    def validate(name: object, info: ValidationInfo[Any]) -> FileContent[T]:
        if not isinstance(name, str) or not name:
            raise ValueError('must be the path of a file in quotes, as "conf/file"')
        context = info.context or {}
        path: Path = context.get("directory", Path()) / name
        return make(path, context.get("read") or read_file)

    return (
        PlainValidator(validate),
        PlainSerializer(lambda content: str(content.path), when_used="json"),
        WithJsonSchema({"type": "string", "format": "path"}),
    )


def read_file(path: Path, _: Callable[[bytes], bytes] = bytes) -> bytes:
    """Return the content of a file. Raises ValueError."""
    try:
        return input_files.read_file(path)
    except OSError as error:
        raise ValueError(f"cannot read {path}: {error.strerror}") from None
