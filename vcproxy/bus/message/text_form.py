r"""The text form of messages: one line (eventdispatcher.md 1).

    [<FROM_SERVER:FROM_SERVICE ] [[SERVER:]SERVICE/] COMMAND [ NAME=VALUE {;NAME=VALUE} [;]]

`<snap:web other:cluckd/LOCK name=a;timeout=30` is an example. Blanks around the line are no part
of it. A value ends with `;` or the line; it is in double quotes if it contains `;`, begins with `"`
or ends with a blank. In a value, `\\` is a backslash, `\n` a new line and `\r` a carriage return;
in quotes, `\"` is a double quote. Of two parameters of one name the last one counts.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from vcproxy.bus.message.invalid_message import InvalidMessage, MessageTooLong

if TYPE_CHECKING:
    from vcproxy.bus.message.bus_message import BusMessage

LARGEST: Final = 65_536
"""Limit of a message's bytes: the original's limit of Unix datagrams, here that of all messages."""

BLANKS: Final = " \t\n\v\f\r"
"""What is stripped around a line: the white space of C, as in the original."""

_ADDRESSEE = re.compile(r"[A-Za-z0-9_.-]+|[*?]")
"""Name of a server or service: host names too, and `.` (local), `*` (all), `?` (any)."""
_COMMAND = re.compile(r"[A-Za-z0-9_]+")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_HEAD = re.compile(
    r"(?:<([A-Za-z0-9_.-]*):([A-Za-z0-9_.-]*) )?"
    r"(?:(?:([A-Za-z0-9_.-]+|[*?]):)?([A-Za-z0-9_.-]+|[*?])/)?"
    r"([A-Za-z0-9_]+)(?: |\Z)"
)
"""What precedes the parameters of an ordinary line."""
_QUOTED = re.compile(r'"((?:[^"\\]|\\.)*+)"', re.DOTALL)
_ESCAPED = re.compile(r"\\([\\nr])")
_ESCAPED_IN_QUOTES = re.compile(r'\\([\\nr"])')
_ESCAPES = {"\\": "\\", "n": "\n", "r": "\r", '"': '"'}


Fields = tuple[str, dict[str, str], str, str, str, str]
"""What a text consists of, in the order of the fields of BusMessage."""


def parse_plain(text: str) -> Fields | None:
    """Return what a line consists of, if it is an ordinary one: ASCII, without quotes and
    backslashes. None for all others, and for texts that are no message.

    It takes half the time of `parse_text`, and returns the same (a property test).
    """
    text = text.strip(BLANKS)
    head = _HEAD.match(text)
    if head is None or not text.isascii() or len(text) > LARGEST:
        return None
    sent_from_server, sent_from_service, server, service, command = head.groups("")
    parameters = {}
    rest = text[head.end() :]
    if rest:
        if '"' in rest or "\\" in rest or "\0" in rest:
            return None
        for parameter in rest.split(";"):
            name, equal, value = parameter.partition("=")
            if not equal or not name.isidentifier():
                return None
            parameters[name] = value
    return command, parameters, server, service, sent_from_server, sent_from_service


def parse_text(text: str) -> Fields:
    """Return what a line consists of. Raises InvalidMessage with the reason and the column."""
    check_size(text.strip(BLANKS))
    end = len(text.rstrip(BLANKS))
    at = len(text) - len(text.lstrip(BLANKS))
    if at >= end:
        raise InvalidMessage("the text is empty")
    nul = text.find("\0", at, end)
    if nul >= 0:
        raise InvalidMessage("a message cannot contain a NUL character", nul + 1)
    sent_from_server = sent_from_service = server = service = ""
    if text[at] == "<":
        blank = text.find(" ", at, end)
        colon = text.find(":", at, end)
        if blank >= 0 and not 0 <= colon < blank:
            raise InvalidMessage("a blank in the name of the sending server", blank + 1)
        if blank < 0:
            raise InvalidMessage("no command follows the names of the sender", end + 1)
        sent_from_server = _sender(text, at + 1, colon, "server")
        sent_from_service = _sender(text, colon + 1, blank, "service")
        at = blank + 1
    blank = text.find(" ", at, end)
    head_end = end if blank < 0 else blank
    slash = text.find("/", at, head_end)
    colon = text.find(":", at, head_end)
    if colon >= 0:
        if 0 <= slash < colon:
            raise InvalidMessage('":" after "/": the server is named before the service', colon + 1)
        server = _addressee(text, at, colon, "server", ":")
        at = colon + 1
        second = text.find(":", at, head_end)
        if second >= 0:
            raise InvalidMessage('a second ":" before the command', second + 1)
    if slash >= 0:
        service = _addressee(text, at, slash, "service", "/")
        at = slash + 1
        second = text.find("/", at, head_end)
        if second >= 0:
            raise InvalidMessage('a second "/" before the command', second + 1)
    found = _COMMAND.match(text, at, head_end)
    if at == head_end:
        raise InvalidMessage("the command is missing", at + 1)
    if found is None or found.end() < head_end:
        wrong = at if found is None else found.end()
        raise InvalidMessage(
            f"a command consists of letters, digits and _, not of {text[wrong]!r}", wrong + 1
        )
    parameters = {} if blank < 0 else _parameters(text, blank + 1, end)
    return found[0], parameters, server, service, sent_from_server, sent_from_service


def _sender(text: str, start: int, end: int, kind: str) -> str:
    found = _ADDRESSEE.match(text, start, end)
    wrong = start if found is None else found.end()
    if wrong < end:  # an empty name is valid: `<:web STOP`
        raise InvalidMessage(
            f"the name of the sending {kind} cannot contain {text[wrong]!r}", wrong + 1
        )
    return text[start:end]


def _addressee(text: str, start: int, end: int, kind: str, mark: str) -> str:
    if start == end:
        raise InvalidMessage(f'the name of the {kind} before "{mark}" is missing', start + 1)
    found = _ADDRESSEE.match(text, start, end)
    wrong = start if found is None else found.end()
    if wrong < end:
        raise InvalidMessage(f"the name of a {kind} cannot contain {text[wrong]!r}", wrong + 1)
    return text[start:end]


def _parameters(text: str, at: int, end: int) -> dict[str, str]:
    parameters = {}
    while at < end:
        found = _NAME.match(text, at, end)
        equal = at if found is None else found.end()
        if equal == end:
            raise InvalidMessage(f'the parameter "{text[at:end]}" has no "="', end + 1)
        if text[equal] != "=":
            raise InvalidMessage(_why_no_name(text, at, equal, end), equal + 1)
        if equal == at:
            raise InvalidMessage('a parameter without a name before "="', at + 1)
        name = text[at:equal]
        at = equal + 1
        if text.startswith('"', at, end):
            quoted = _QUOTED.match(text, at, end)
            if quoted is None:
                raise InvalidMessage(f'the quoted value of "{name}" has no closing quote', at + 1)
            value = quoted[1]
            if "\\" in value:
                value = _ESCAPED_IN_QUOTES.sub(_unescaped, value)
            at = quoted.end()
            if at < end and text[at] != ";":
                raise InvalidMessage(
                    f'{text[at]!r} after the closing quote of "{name}", not ";" or the end',
                    at + 1,
                )
        else:
            semicolon = text.find(";", at, end)
            stop = end if semicolon < 0 else semicolon
            value = text[at:stop]
            if "\\" in value:
                value = _ESCAPED.sub(_unescaped, value)
            at = stop
        parameters[name] = value
        at += 1
    return parameters


def _why_no_name(text: str, start: int, wrong: int, end: int) -> str:
    if wrong > start:
        return f"the name of a parameter cannot contain {text[wrong]!r}"
    if text[wrong] == ";":
        return "an empty parameter"
    if text[wrong] == " ":
        return "a blank before the name of a parameter"
    return f"the name of a parameter begins with a letter or _, not with {text[wrong]!r}"


def _unescaped(found: re.Match[str]) -> str:
    return _ESCAPES[found[1]]


def to_text(message: BusMessage) -> str:
    """Return the line, without a new line at its end; parameters in the order of their names.

    Raises InvalidMessage if a name or the command has characters that the form does not have, a
    value has a NUL character, or the line more than 64 KiB.
    """
    check_fields(message)
    text = message.command
    if message.service:  # the server alone is not sent, as in the original
        text = f"{message.service}/{text}"
        if message.server:
            text = f"{message.server}:{text}"
    if message.sent_from_server or message.sent_from_service:
        text = f"<{message.sent_from_server}:{message.sent_from_service} {text}"
    if message.parameters:
        values = sorted(message.parameters.items())
        text += " " + ";".join([f"{name}={_written(value)}" for name, value in values])
    check_size(text)
    return text


def _written(value: str) -> str:
    if value.isalnum() or not value:
        return value
    if "\\" in value or "\n" in value or "\r" in value:
        value = value.replace("\\", "\\\\").replace("\n", "\\n").replace("\r", "\\r")
    if ";" in value or value[0] == '"' or value[-1] in BLANKS:
        return '"' + value.replace('"', '\\"') + '"'
    return value


def check_fields(message: BusMessage) -> None:
    """Raise InvalidMessage if the command or a name has characters that no form of messages has,
    or a value has a NUL character, with which the text would end for the original."""
    if not _COMMAND.fullmatch(message.command):
        if not message.command:
            raise InvalidMessage("the command is missing")
        raise InvalidMessage(f'"{message.command}": a command consists of letters, digits and _')
    names = (message.server, message.service, message.sent_from_server, message.sent_from_service)
    for name in names:
        if name and not _ADDRESSEE.fullmatch(name):
            raise InvalidMessage(
                f'"{name}" is not the name of a server or service: '
                "it consists of letters, digits, _, - and ., or is * or ?"
            )
    for name, value in message.parameters.items():
        if not (name.isidentifier() and name.isascii()):
            raise InvalidMessage(
                f'"{name}" is not the name of a parameter: '
                "it consists of letters, digits and _, and does not begin with a digit"
            )
        if "\0" in value:
            raise InvalidMessage(f'the value of "{name}" contains a NUL character')


def check_size(text: str) -> None:
    """Raise MessageTooLong if a text has more than 64 KiB."""
    size = len(text) if text.isascii() else _size(text)
    if size > LARGEST:
        raise MessageTooLong(f"a message has at most {LARGEST} bytes, this one has {size}")


def _size(text: str) -> int:
    try:
        return len(text.encode(errors="surrogateescape"))  # as it was received: see BusMessage
    except UnicodeEncodeError:  # other surrogates, of JSON
        return len(text.encode(errors="surrogatepass"))
