"""BusMessage: a command with parameters, to and from services (eventdispatcher.md 1)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, TypeVar

from vcproxy.bus.message.invalid_message import InvalidMessage
from vcproxy.bus.message.json_form import parse_json, to_json
from vcproxy.bus.message.parameter_values import address, integer, timespec, written
from vcproxy.bus.message.text_form import BLANKS, check_fields, parse_plain, parse_text, to_text
from vcproxy.engine.address import Address

VERSION: Final = 1
"""The version of the message protocol, for the parameter `version` (REGISTER sends it)."""

_Typed = TypeVar("_Typed")


@dataclass(slots=True)
class BusMessage:
    """One message: the command, its parameters, and the names of receiver and sender.

    A name is "" where it is not given. The receiver's server or service may be `.` (here only),
    `*` (all) and, of a service, `?` (any one). Bytes on the wire that are not UTF-8 are in the
    values as surrogate escapes (PEP 383): decode and encode with errors="surrogateescape".
    """

    command: str
    """Upper-case letters, digits and `_`, as in LOG_ROTATE. `parse` takes lower case too."""
    parameters: dict[str, str] = field(default_factory=dict)
    """The values by name, unescaped; a name consists of letters, digits and `_`."""
    server: str = ""
    """The computer that the message is for. In text it is sent together with a service only."""
    service: str = ""
    """The service that the message is for; "" is the one that receives it."""
    sent_from_server: str = ""
    sent_from_service: str = ""

    @classmethod
    def parse(cls, text: str) -> BusMessage:
        """Return the message of a line or datagram: JSON if it begins with `{`, else the text form.

        Raises InvalidMessage with the reason and the column if it is not a message, or has more
        than 64 KiB.
        """
        fields = parse_plain(text)
        if fields is not None:
            return cls(*fields)
        if not text.lstrip(BLANKS).startswith("{"):
            return cls(*parse_text(text))
        message = cls(*parse_json(text))
        check_fields(message)
        return message

    def to_text(self) -> str:
        """Return the line, without a new line at its end; parameters in the order of their names.

        Raises InvalidMessage if command, names or values have characters that no message can
        have, or the line has more than 64 KiB.
        """
        return to_text(self)

    def to_json(self) -> str:
        """Return the message as one line of JSON. Raises InvalidMessage as `to_text` does, and if
        a value is not text (not UTF-8 on the wire)."""
        return to_json(self)

    def reply(self, command: str, /, **parameters: str | int) -> BusMessage:
        """Return a new message to the sender of this one: reply_to in the original."""
        return BusMessage(
            command,
            {name: written(value) for name, value in parameters.items()},
            self.sent_from_server,
            self.sent_from_service,
        )

    def get(self, name: str, default: str | None = None) -> str | None:
        """Return the value of a parameter, or `default` if there is none of this name."""
        return self.parameters.get(name, default)

    def text(self, name: str) -> str:
        """Return the value of a parameter. Raises InvalidMessage if there is none."""
        value = self.parameters.get(name)
        if value is None:
            raise InvalidMessage(f'{self.command} has no parameter "{name}"')
        return value

    def integer(self, name: str) -> int:
        """Return a parameter as integer; a sign and the prefixes 0b, 0o, 0d and 0x are known.

        Raises InvalidMessage if there is no such parameter, or it is not an integer.
        """
        return self._typed(name, integer)

    def timespec(self, name: str) -> tuple[int, int]:
        """Return a parameter as (seconds, nanoseconds), of `SECONDS[.FRACTION]`.

        The nanoseconds are never negative, as in struct timespec: `-0.5` is (-1, 500_000_000).
        Raises InvalidMessage if there is no such parameter, or it is not such a time.
        """
        return self._typed(name, timespec)

    def address(self, name: str) -> Address:
        """Return a parameter as Address, as in `tcp://127.0.0.1:8080`; without a scheme, as the
        original writes addresses, it is one of TCP.

        Raises InvalidMessage if there is no such parameter, or it is not an address.
        """
        return self._typed(name, address)

    @property
    def version(self) -> int | None:
        """The parameter `version` as integer, None if there is none. A message of another version
        than VERSION may mean other things. Raises InvalidMessage if it is not an integer."""
        return self.integer("version") if "version" in self.parameters else None

    def _typed(self, name: str, convert: Callable[[str], _Typed]) -> _Typed:
        value = self.text(name)
        try:
            return convert(value)
        except ValueError as error:
            raise InvalidMessage(f'{name}="{value}" of {self.command}: {error}') from None
