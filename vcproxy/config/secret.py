"""Secret: an option whose value is shown nowhere.

    class Options:
        token: Secret

It is written as a text in quotes, or as { file = "token.txt" }, relative to the configuration file.
Tested in tests/config/test_secret.py.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from hashlib import sha256
from hmac import compare_digest
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from pydantic_core import core_schema

from vcproxy.input_files import read_file

if TYPE_CHECKING:
    from pydantic_core.core_schema import CoreSchema, ValidationInfo

SHOWN: Final = "(secret)"
"""What is shown in place of a secret."""

MOST: Final = 64 << 10
"""Bytes of a file with a secret. A device such as /dev/zero has no end."""

_FINGERPRINT = re.compile(r"\(secret [0-9a-f]{16}\)")


class Secret:
    """A password, a token or a key in a plugin's options.

    Its text is in no log line, no `repr`, no configuration that `vcproxy -T` prints, and no
    recording, neither in the configuration nor in what peers send: there it is replaced by x, as in
    the refused messages that are kept.
    """

    __slots__ = ("_text", "source")

    def __init__(self, text: str, source: tuple[Path, bytes] | None = None) -> None:
        """`source`: the file that it was read from, and its content.

        Raises ValueError for an empty text, and for the text that -T shows in its place.
        """
        if not text:
            raise ValueError("must not be empty")
        if text == SHOWN:
            raise ValueError(f'"{SHOWN}" is what -T shows in place of a secret: write the secret')
        self._text = text
        self.source = source
        """The file that it was read from, and its content; None: it is written as a text."""

    def reveal(self) -> str:
        """Return its text, to be sent to a server. Do not log or store it."""
        return self._text

    def matches(self, given: str | bytes) -> bool:
        """Whether a text, or its bytes in UTF-8, is the secret.

        The time does not depend on how many characters are right.
        """
        sent = given.encode(errors="surrogatepass") if isinstance(given, str) else bytes(given)
        return compare_digest(sent, self._text.encode())

    def __eq__(self, other: object) -> bool:
        return self.matches(other._text) if isinstance(other, Secret) else NotImplemented

    def __hash__(self) -> int:
        return hash(self._text)

    def __repr__(self) -> str:
        return SHOWN

    def fingerprint(self) -> str:
        """Return a text that stands for it in a table of options: equal for equal secrets.

        It stays inside the process: see `shown`.
        """
        return f"(secret {sha256(self._text.encode()).hexdigest()[:16]})"

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: Any) -> CoreSchema:
        """Read it from a configuration, and write its fingerprint into the complete table."""
        return core_schema.with_info_plain_validator_function(
            _read,
            json_schema_input_schema=core_schema.str_schema(metadata={"format": "secret"}),
            serialization=core_schema.plain_serializer_function_ser_schema(
                cls.fingerprint, when_used="json"
            ),
        )

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: Any, handler: Any) -> dict[str, str]:
        return {"type": "string", "format": "secret"}


def shown(value: object) -> object:
    """Return a table of options with SHOWN in place of each fingerprint."""
    if isinstance(value, Mapping):
        return {key: shown(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [shown(each) for each in value]
    return SHOWN if isinstance(value, str) and _FINGERPRINT.fullmatch(value) else value


def _read(value: object, info: ValidationInfo[Any]) -> Secret:
    match whole_file(value, info):
        case Secret() as read:
            text = read.reveal()  # an editor ends the last line
            if value is read:
                return read
            return Secret(text.removesuffix("\n").removesuffix("\r"), read.source)
        case str(text):
            return Secret(text)
    raise ValueError('must be a text in quotes, or a file with it, as { file = "token.txt" }')


def whole_file(value: object, info: ValidationInfo[Any]) -> object:
    """Return the secret of { file = "name" }, with every line end; another value unchanged.

    For a secret of several lines, as a BeforeValidator. Raises ValueError.
    """
    match value:
        case {"file": str(name), **rest} if name and not rest:
            path: Path = (info.context or {}).get("directory", Path()) / name
            try:
                content = read_file(path, MOST)
            except OSError as error:
                raise ValueError(f"cannot read {path}: {error.strerror}") from None
            try:
                return Secret(content.decode(), (path, content))
            except UnicodeDecodeError:
                raise ValueError(f"cannot read {path}: it is not UTF-8") from None
    return value
