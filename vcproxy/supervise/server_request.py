"""The requests that a machine server takes, as values, and the parser of their text.

    start NAME [[HOST]:PORT] [ARGUMENT...]    from a client, or a machine that spawns
    stop PORT                                 from a client, or a machine that ends
    list                                      from a client
    register NAME PID                         from a machine, at its start
    unregister                                from a machine, at its end

The host of `start` has no effect: a server starts machines at
its own address only.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from vcproxy.bus.mailbox.letter import Letter
from vcproxy.supervise.machine_name import MachineName

SERVER_PORT: Final = 42_000
"""The port of machine servers: machines and clients send their requests there (wink.md 6)."""


@dataclass(frozen=True, slots=True)
class StartRequest:
    """Start a machine; port 0: at a port that the kernel assigns."""

    name: MachineName
    port: int
    arguments: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class StopRequest:
    """Stop the machine at a port."""

    port: int


@dataclass(frozen=True, slots=True)
class ListRequest:
    """Send the list of the registered machines."""


@dataclass(frozen=True, slots=True)
class RegisterRequest:
    """The sender is the machine that runs as process `pid`."""

    name: str
    pid: int


@dataclass(frozen=True, slots=True)
class UnregisterRequest:
    """The machine that sends this is ending."""


Request = StartRequest | StopRequest | ListRequest | RegisterRequest | UnregisterRequest


def parse_request(letter: Letter) -> Request:
    """Return the request in a message. Raises ValueError with the reason if it is not one."""
    verb, words = letter.verb, letter.words
    match verb, words:
        case "start", [name]:
            return StartRequest(MachineName.parse(name), 0, ())
        case "start", [name, address, *arguments]:
            return StartRequest(MachineName.parse(name), _port(address), tuple(arguments))
        case "stop", [address]:
            return StopRequest(_port(address))
        case "list", []:
            return ListRequest()
        case "register", [name, pid]:
            return RegisterRequest(name, _number(pid, "the pid"))
        case "unregister", []:
            return UnregisterRequest()
        case (("start" | "stop" | "list" | "register" | "unregister"), _):
            raise ValueError(f"{verb} has {len(words)} words after it; {_USAGE[verb]}")
    raise ValueError(f'"{verb[:40]}" is not a request; known are {", ".join(_USAGE)}')


_USAGE = {
    "start": "it needs NAME and may have :PORT and arguments",
    "stop": "it needs PORT",
    "list": "it needs none",
    "register": "it needs NAME and PID",
    "unregister": "it needs none",
}


def _port(address: str) -> int:
    """Return the port in `PORT`, `:PORT` or `HOST:PORT`."""
    port = _number(address.rpartition(":")[2], "the port")
    if port > 65_535:
        raise ValueError(f"the port {port} is above 65535")
    return port


def _number(text: str, what: str) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) < 20):
        raise ValueError(f'{what} must be a decimal number, not "{text[:40]}"')
    return int(text)
