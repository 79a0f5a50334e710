"""The types of the values in a configuration file: durations, sizes, addresses, paths, names.

Each type checks the text in the file and converts it. Authors of plugins use them in their
`Options`. The tables are in `schema`. Tested in tests/config/test_problems.py and test_loader.py.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    PlainValidator,
    ValidationInfo,
    WithJsonSchema,
)

from vcproxy.config.numbers import Numbers
from vcproxy.engine.address import CHILD, PATHS, STANDARD, Address
from vcproxy.engine.units import duration, show_duration, show_size, size

T = TypeVar("T")


def _from_text(read: Callable[[str], T], noun: str, example: str) -> Callable[[object], T]:
    def validate(value: object) -> T:
        if not isinstance(value, str):
            raise ValueError(f'must be {noun} in quotes, as "{example}"')
        return read(value)

    return validate


def _relative_to_file(text: str, info: ValidationInfo) -> Path:
    directory: Path = (info.context or {}).get("directory", Path())
    return directory / text


def file_path(value: object, info: ValidationInfo) -> Path:
    """Return a path, read like a FilePath. Raises ValueError."""
    if not isinstance(value, str) or not value:
        raise ValueError('must be the path of a file in quotes, as "conf/file.pem"')
    return _relative_to_file(value, info)


def endpoint(value: object, info: ValidationInfo) -> Address:
    """Return an address, read like an Endpoint. Raises ValueError."""
    address = _from_text(Address.parse, "an address", "tcp://127.0.0.1:8080")(value)
    if address.scheme == CHILD:
        raise ValueError(f'"{address}": only a ChildProcess has such addresses')
    if address.scheme not in PATHS:
        return address
    return address.at_path(str(_relative_to_file(address.path, info)))


def _server(address: Address) -> Address:
    if address.scheme in STANDARD:
        raise ValueError(f"{address.scheme}: is for listeners only: write the address of a server")
    no_permissions(address)
    if address.scheme in ("tcp", "tls", "udp") and not address.port:
        raise ValueError(f'"{address}": a server needs a port above 0')
    return no_subject(address)


def server_address(value: object, info: ValidationInfo) -> Address:
    """Return the address of a server, read like a Target. Raises ValueError."""
    return _server(endpoint(value, info))


def no_subject(address: Address) -> Address:
    """Return the address. Raises ValueError if it is nats://."""
    if address.scheme == "nats":
        raise ValueError(f'"{address}": only the source and the targets of a relay may be nats://')
    return address


def no_permissions(address: Address) -> Address:
    """Return the address. Raises ValueError if it sets the mode or the owner of a file."""
    if address.file:
        name = address.file[0][0]
        raise ValueError(f'"{address}": {name} is for an address to listen at: remove it')
    return address


def bindable(address: Address) -> Address:
    """Return the address. Raises ValueError if it cannot be listened at."""
    if address.scheme == "serial":
        raise ValueError(
            f'"{address}": a serial line is connected to: write it in servers, or as the source or '
            "a target of a relay"
        )
    return no_subject(address)


def positive(seconds: float) -> float:
    """Return the duration. Raises ValueError if it is 0."""
    if not seconds:
        raise ValueError("must be longer than 0s")
    return seconds


def listed(value: object) -> object:
    """Return a list as a tuple, or a single value, written without brackets, as a tuple of one."""
    return tuple(value) if isinstance(value, list) else (value,)


def plugin_place(plugin: str) -> str:
    """Return the module or file in a plugin's name: the name without ":Class"."""
    place, colon, _ = plugin.rpartition(":")
    return place if colon and not plugin.endswith(".py") else plugin


def _command(value: object, info: ValidationInfo) -> "CommandLine":
    words = [value] if isinstance(value, str) else value
    if not isinstance(words, list) or not words or not all(isinstance(each, str) for each in words):
        raise ValueError(
            'must be a list of a program and its arguments, as ["/usr/bin/sort", "--reverse"]'
        )
    program, *arguments = words
    if not program or "\0" in "".join(words):
        raise ValueError("the program's path must not be empty, and no word may contain a NUL byte")
    if "/" in program:
        program = str(_relative_to_file(program, info))
    return CommandLine((program, *arguments))


def _plugin(value: str, info: ValidationInfo) -> str:
    if not plugin_place(value).endswith(".py"):
        return value
    return str(_relative_to_file(value, info))


def _as_filter(value: object) -> object:
    return {"plugin": value} if isinstance(value, str) else value


class NamedUpstream(str):
    """A value of an UpstreamName. Its type makes it recognizable inside the options of a plugin."""

    __slots__ = ()


UpstreamName = Annotated[str, AfterValidator(NamedUpstream)]
"""The name of an [upstream.NAME]. Authors may use it in their plugin's Options: the loader checks
that this upstream exists, and the session finds it in its service's `upstreams`."""


class CommandLine(tuple[str, ...]):
    """A value of a ProgramCommand. Its type makes it recognizable inside a plugin's options."""

    __slots__ = ()


ProgramCommand = Annotated[
    CommandLine,
    PlainValidator(_command),
    PlainSerializer(list, when_used="json"),
    WithJsonSchema({"type": "array", "items": {"type": "string"}}),
]
"""A program, by a path relative to the configuration file, and its arguments. Authors may use it
in their plugin's Options: `-t` checks that the program can be executed."""

Duration = Annotated[
    float,
    PlainValidator(_from_text(duration, "a duration", "5s")),
    PlainSerializer(show_duration, when_used="json"),
    WithJsonSchema({"type": "string", "format": "duration"}),
]
"""Seconds, written "250ms", "5s" or "2m". Authors may use it in their plugin's Options."""

Size = Annotated[
    int,
    PlainValidator(_from_text(size, "a size", "64KiB")),
    PlainSerializer(show_size, when_used="json"),
    WithJsonSchema({"type": "string", "format": "size"}),
]
"""Bytes, written "64KiB" or "1MiB". Authors may use it in their plugin's Options."""

NumberRanges = Annotated[
    Numbers,
    PlainValidator(_from_text(Numbers.parse, "numbers and ranges", "1-9, 20")),
    PlainSerializer(str, when_used="json"),
    WithJsonSchema({"type": "string", "format": "numbers"}),
]
"""Whole numbers, written "1-9, 20". Authors may use it in their plugin's Options."""

FilePath = Annotated[
    Path,
    PlainValidator(file_path),
    PlainSerializer(str, when_used="json"),
    WithJsonSchema({"type": "string", "format": "path"}),
]
"""A path relative to the configuration file. Authors may use it in their plugin's Options."""

Endpoint = Annotated[
    Address,
    PlainValidator(endpoint),
    PlainSerializer(str, when_used="json"),
    WithJsonSchema({"type": "string", "format": "address"}),
]
"""An address written as a URI. Authors may use it in their plugin's Options."""

Target = Annotated[Endpoint, AfterValidator(_server)]
"""An address to connect to. Authors may use it in their plugin's Options."""

PluginName = Annotated[str, Field(min_length=1), AfterValidator(_plugin)]
"""The place of a plugin: "package.module:Class" or "path/file.py:Class", relative to the
configuration file. Authors may use it in their plugin's Options."""


class Table(BaseModel):
    """A table of the file: types are strict, unknown keys are errors, and values are frozen."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


class FilterTable(Table):
    """A filter in the options of another plugin: it processes the traffic and may change it."""

    plugin: PluginName
    """The class of the filter, written like `plugin` of a listener."""

    options: dict[str, object] = {}
    """The filter's own options."""


Filters = tuple[Annotated[FilterTable, BeforeValidator(_as_filter)], ...]
"""The type of a plugin's option `filters`. A filter without options may be just its name."""
