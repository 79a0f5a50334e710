"""Dispatcher: calls the callbacks of a message. It does no I/O; see eventdispatcher.md 3.

An entry has a pattern, a callback, a priority, a tag, and the way it matches. Entries are tried by
priority, lower first, equal ones in the order in which they were added, until one consumes the
message. The catch-all gets what no entry has matched.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from enum import Enum, auto
from typing import TYPE_CHECKING, Final, TypeAlias

from vcproxy.bus.dispatch.pattern import Pattern
from vcproxy.bus.dispatch.received_message import ReceivedMessage
from vcproxy.bus.message.invalid_message import InvalidMessage, printable
from vcproxy.bus.message.secret_code import PARAMETER as SECRET

if TYPE_CHECKING:
    from vcproxy.bus.message.bus_message import BusMessage
    from vcproxy.bus.message.definitions import Definition, Definitions
    from vcproxy.engine.log_function import LogFunction

FIRST_PRIORITY: Final = 0
"""That of entries which see messages before all others."""
DEFAULT_PRIORITY: Final = 7
SYSTEM_PRIORITY: Final = 10
"""That of the standard messages: an entry of the same command with the default priority replaces
one of them."""
LAST_PRIORITY: Final = 15

HERE: Final = frozenset(("", ".", "*", "?"))
"""The names of servers and services that stand for any: none, this one, all, any one."""

UNANSWERED: Final = frozenset(
    ("ABSOLUTELY", "COMMANDS", "INVALID", "SERVICE_UNAVAILABLE", "UNKNOWN")
)
"""Replies. They are never answered with INVALID or UNKNOWN: two services that do not support each
other's messages would exchange replies for ever."""

Callback: TypeAlias = Callable[[ReceivedMessage], object]


class Match(Enum):
    """The result of a match function."""

    NO = auto()
    YES = auto()
    """The callback is called, and the message is consumed: no further entry is tried."""
    CALLBACK = auto()
    """The callback is called, and further entries are tried."""


MatchFunction: TypeAlias = "Callable[[str, BusMessage], Match]"
"""Called with the text of the entry's pattern and a message."""


class Matching(Enum):
    """The ways of matching besides functions of authors."""

    ONE_TO_ONE = auto()
    """Commands of the pattern: Match.YES."""
    ONE_TO_ONE_CALLBACK = auto()
    """Commands of the pattern: Match.CALLBACK."""
    CALLBACK = auto()
    """Every message: Match.CALLBACK. The pattern is only a name."""


class DispatchResult(Enum):
    """What a dispatcher has done with a message."""

    CALLED = auto()
    """Callbacks of entries were called."""
    CAUGHT = auto()
    """No entry matched; the catch-all was called."""
    UNMATCHED = auto()
    """No entry matched, and there is no catch-all."""
    INVALID = auto()
    """An entry matched, but the parameters are not as defined. INVALID was replied."""
    FORWARDED = auto()
    """It was for another service, and `forward` took it."""
    REFUSED = auto()
    """It was for another service. INVALID was replied."""


@dataclass(frozen=True, slots=True)
class DispatcherEntry:
    """An entry of a dispatcher."""

    pattern: str
    callback: Callback
    priority: int
    tag: int
    match: Matching | MatchFunction
    commands: Pattern | None
    """The pattern, compiled; None: a match function, or all messages."""
    definition: Definition | None
    """The parameters; None: those of the command in the dispatcher's definitions."""

    def could_match(self, command: str) -> bool:
        """Whether it could match a command: one with a match function always could."""
        return self.commands is None or self.commands.match(command) is not None


class Dispatcher:
    """The callbacks of one service, by pattern.

    Args:
        service: the name of this service; "": none, so that it takes messages for any service.
        server: the name of this server; "": none, likewise.
        definitions: the parameters of messages. A message that is not as defined is not delivered:
            its sender gets INVALID with the reasons. None: nothing is checked.
        log: where `trace` and the standard messages log.
        trace: whether each message is logged when it is received.
        forward: called with a message for another service; returns whether it takes it. None, or
            False: the sender gets INVALID.
    """

    def __init__(
        self,
        service: str,
        *,
        server: str = "",
        definitions: Definitions | None = None,
        log: LogFunction,
        trace: bool = False,
        forward: Callable[[ReceivedMessage], bool] | None = None,
    ) -> None:
        self.service = service
        self.server = server
        self.definitions = definitions
        self.log = log
        self.trace = trace
        self.forward = forward
        self._entries: list[DispatcherEntry] = []  # replaced, never changed: callbacks may add
        self._catch_all: Callback | None = None
        self._direct: dict[str, DispatcherEntry] | None = None  # made when a message comes

    # -- entries -----------------------------------------------------------------------------

    def add(
        self,
        pattern: str,
        callback: Callback,
        *,
        priority: int = DEFAULT_PRIORITY,
        tag: int = 0,
        match: Matching | MatchFunction = Matching.ONE_TO_ONE,
        definition: Definition | None = None,
    ) -> None:
        """Add an entry. `tag` is for `remove`; 0: none. `definition`: the parameters of its
        messages; None: those of the command in the dispatcher's definitions.

        Raises InvalidPattern, and ValueError for a priority that is not 0 to 15.
        """
        if not FIRST_PRIORITY <= priority <= LAST_PRIORITY:
            raise ValueError(f"{pattern}: the priority is {priority}: it must be 0 to 15")
        by_command = match in (Matching.ONE_TO_ONE, Matching.ONE_TO_ONE_CALLBACK)
        commands = Pattern(pattern) if by_command else None
        new = DispatcherEntry(pattern, callback, priority, tag, match, commands, definition)
        self._entries = sorted((*self._entries, new), key=lambda entry: entry.priority)  # stable
        self._direct = None

    def remove(self, tag: int) -> int:
        """Remove all entries with a tag; return their number. Raises ValueError for tag 0."""
        if not tag:
            raise ValueError("tag 0 is that of entries without a tag: they are not removed")
        kept = [entry for entry in self._entries if entry.tag != tag]
        removed = len(self._entries) - len(kept)
        self._entries = kept
        self._direct = None
        return removed

    def catch_all(self, callback: Callback | None = None) -> None:
        """Set what gets the messages that no entry matches; by default `reply_unknown`.

        Raises ValueError if there is one already.
        """
        if self._catch_all is not None:
            raise ValueError("the dispatcher has a catch-all already: only one is possible")
        self._catch_all = callback or self.reply_unknown

    def entries(self) -> Iterator[DispatcherEntry]:
        """Yield the entries, in the order in which they are tried."""
        yield from self._entries

    def commands(self) -> list[str]:
        """Return the commands and patterns that it receives, sorted, each once."""
        return sorted({entry.pattern for entry in self._entries if entry.commands is not None})

    def takes(self, command: str) -> bool:
        """Return whether an entry could match a command. May be called from any thread."""
        return any(entry.could_match(command) for entry in self._entries)

    def defines(self, command: str) -> bool:
        """Return whether its definitions have a command."""
        return self.definitions is not None and self.definitions.get(command) is not None

    def describe(self, command: str) -> str:
        """Return one line about a command or pattern; "" if no entry is for it.

        As "SPEED value=INTEGER [unit=STRING]: Set the speed.", with what may be left out in
        brackets.
        """
        for entry in self._entries:
            if entry.commands is not None and (
                entry.pattern == command or entry.could_match(command)
            ):
                return described(entry.pattern, self._definition(entry, command))
        return ""

    # -- messages ----------------------------------------------------------------------------

    def dispatch(self, received: ReceivedMessage) -> DispatchResult:
        """Call the callbacks of a message. An exception in one of them ends it."""
        message = received.message
        if self.trace:
            self._show(message)
        if (message.service or message.server) and not self._is_here(message):
            return self._pass_on(received)
        direct = self._direct
        if direct is None:
            direct = self._direct = self._find_direct()
        entry = direct.get(message.command)
        if entry is not None:
            if entry.definition is not None or self.definitions is not None:
                problems = self._problems(entry, message)
                if problems:
                    return self._refuse(received, problems)
            entry.callback(received)
            return DispatchResult.CALLED
        return self._search(received)

    def reply_unknown(self, received: ReceivedMessage) -> None:
        """Reply UNKNOWN, unless the message is a reply itself."""
        if received.command not in UNANSWERED:
            received.reply("UNKNOWN", command=received.command)

    def reply_invalid(self, received: ReceivedMessage, reason: str) -> None:
        """Reply INVALID with a reason, unless the message is a reply itself."""
        if received.command not in UNANSWERED:
            received.reply("INVALID", command=received.command, message=reason)

    # -- inside ------------------------------------------------------------------------------

    def _find_direct(self) -> dict[str, DispatcherEntry]:
        """Return the entries of the commands for which the first entry that could match is one
        with this very command, and consumes the message: most are so."""
        direct: dict[str, DispatcherEntry] = {}
        for entry in self._entries:
            commands = entry.commands
            if commands is not None and not commands.names and commands.text not in direct:
                first = next(e for e in self._entries if e.could_match(commands.text))
                if first is entry and entry.match is Matching.ONE_TO_ONE:
                    direct[commands.text] = entry
        return direct

    def _search(self, received: ReceivedMessage) -> DispatchResult:
        message = received.message
        called = False
        for entry in self._entries:
            captured: dict[str, str] | None = None
            if entry.commands is not None:
                captured = entry.commands.match(message.command)
                if captured is None:
                    continue
                found = Match.YES if entry.match is Matching.ONE_TO_ONE else Match.CALLBACK
            elif isinstance(entry.match, Matching):
                found = Match.CALLBACK
            else:
                found = entry.match(entry.pattern, message)
                if found is Match.NO:
                    continue
            if not called:
                problems = self._problems(entry, message)
                if problems:
                    return self._refuse(received, problems)
            called = True
            entry.callback(
                ReceivedMessage(message, received.send_back, captured, received.origin)
                if captured
                else received
            )
            if found is Match.YES:
                break
        if called:
            return DispatchResult.CALLED
        if self._catch_all is None:
            return DispatchResult.UNMATCHED
        self._catch_all(received)
        return DispatchResult.CAUGHT

    def _definition(self, entry: DispatcherEntry, command: str) -> Definition | None:
        if entry.definition is not None or self.definitions is None:
            return entry.definition
        return self.definitions.get(command)

    def _problems(self, entry: DispatcherEntry, message: BusMessage) -> list[str]:
        definition = self._definition(entry, message.command)
        return [] if definition is None else definition.problems(message)

    def _is_here(self, message: BusMessage) -> bool:
        """Whether a message is for this server and service."""
        service, server = message.service, message.server
        return (service in HERE or service == self.service or not self.service) and (
            server in HERE or server == self.server or not self.server
        )

    def _pass_on(self, received: ReceivedMessage) -> DispatchResult:
        if self.forward is not None and self.forward(received):
            return DispatchResult.FORWARDED
        message = received.message
        place = f"{message.server}:{message.service}" if message.server else message.service
        own = f"{self.server}:{self.service}" if self.server else self.service
        self.reply_invalid(received, f"it is for {place}; this is {own}")
        return DispatchResult.REFUSED

    def _refuse(self, received: ReceivedMessage, problems: list[str]) -> DispatchResult:
        self.reply_invalid(received, "; ".join(problems))
        return DispatchResult.INVALID

    def _show(self, message: BusMessage) -> None:
        parameters = message.parameters
        if SECRET in parameters:
            message = replace(message, parameters={**parameters, SECRET: "..."})
        try:
            text = message.to_text()
        except InvalidMessage:  # made by a program, not parsed
            text = message.command
        self.log("info", f'dispatch message "{printable(text)}".')


def usage_of(command: str, usages: Iterable[str]) -> str:
    """Return the line about a command or pattern, of lines as `Dispatcher.describe` returns them;
    "": there is none."""
    for usage in usages:
        pattern = pattern_of(usage)
        if command == pattern or Pattern(pattern).match(command) is not None:
            return usage
    return ""


def pattern_of(usage: str) -> str:
    """Return the command or pattern that a line is about."""
    return usage.partition(" ")[0].rstrip(":")


def described(pattern: str, definition: Definition | None) -> str:
    """Return one line about the messages of a pattern: see Dispatcher.describe."""
    if definition is None:
        return pattern
    words = [pattern]
    for each in definition.parameters:
        if not each.forbidden:
            word = f"{each.name}={each.type.upper()}"
            words.append(word if each.required else f"[{word}]")
    return " ".join(words) + (f": {definition.description}" if definition.description else "")
