"""Commands: the one table of what a running proxy can be asked and told, for every door.

A command gets its parameters and replies with another command and its parameters, at once or later.
The definitions of all of them are in `vcproxy/bus/message/builtin`: docs/reference/bus-messages.md.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeAlias, cast

from vcproxy.printable_text import printable

if TYPE_CHECKING:
    from vcproxy.control.changes.change import Changed
    from vcproxy.control.controlled import Controlled
    from vcproxy.control.questions.answer import Answer
    from vcproxy.engine.log_function import Level, LogFunction

Parameters: TypeAlias = Mapping[str, str]

LEVELS: Final = ("debug", "info", "warning", "error")
"""The levels of the log, the lowest first."""

LISTED: Final = 24 * 1024
"""Bytes of a list in a reply. Escaped, and with all else that a message has, they are less than its
limit of 64 KiB."""

SHOWN: Final = 100
"""Characters of a parameter in the log: names and numbers are shorter."""


class CommandReply(Protocol):
    """Sends a reply. Any thread may call it; it may be called later."""

    def __call__(self, command: str, /, **parameters: str | int) -> None:
        """Send it."""


@dataclass(frozen=True, slots=True)
class Command:
    """One command."""

    name: str
    run: Callable[[Controlled, Parameters, CommandReply], None]
    """Carries it out: the proxy, the parameters, and the way to reply."""
    changes: bool = False
    """Whether it changes something."""
    public: bool = False
    """Whether it is carried out for everybody who can reach the proxy: it changes nothing, and
    gives away nothing of the clients."""

    def carry_out(
        self,
        proxy: Controlled,
        given: Parameters,
        reply: CommandReply,
        *,
        origin: str,
        log: LogFunction,
    ) -> None:
        """Run it. A command that changes something is logged first, with its `origin`: the name of
        the connection that it came on."""
        if self.changes:
            values = "".join(f" {name}={_shown(value)}" for name, value in given.items())
            log("info", f"control: {self.name}{values} from {origin}")
        self.run(proxy, given, reply)


def _shown(value: str) -> str:
    """Return a parameter for the log: on one line, and no longer than a line should be."""
    return printable(value[:SHOWN]).replace("\n", "\\n") + ("..." if len(value) > SHOWN else "")


def _status(proxy: Controlled, given: Parameters, reply: CommandReply) -> None:
    proxy.status(lambda state: reply("PROXY_STATUS", **state))


def _sources(proxy: Controlled, given: Parameters, reply: CommandReply) -> None:
    def collected(lines: Sequence[str]) -> None:
        reply("WAITED_FOR", count=len(lines), list=shortened(lines, "\n"))

    proxy.waited_for(collected)


def _show(proxy: Controlled, given: Parameters, reply: CommandReply) -> None:
    arguments = dict(given)
    question = arguments.pop("question", "")

    def answered(answer: Answer) -> None:
        if answer.error:
            reply("INVALID", command="SHOW", message=answer.error)
            return
        lines = [json.dumps(row, ensure_ascii=False) for row in answer.rows]
        missing = {"missing": shortened(answer.missing, "\n")} if answer.missing else {}
        reply("ROWS", count=len(lines), list=shortened(lines, "\n"), **missing)

    proxy.ask(question, arguments, answered)


def _change(name: str) -> Callable[[Controlled, Parameters, CommandReply], None]:
    """Return what makes one of CHANGES and replies with its result."""

    def run(proxy: Controlled, given: Parameters, reply: CommandReply) -> None:
        def made(changed: Changed) -> None:
            if changed.error:
                reply("NOT_CHANGED", reason=shortened([changed.error], "\n"))
                return
            missing = {"missing": shortened(changed.missing, "\n")} if changed.missing else {}
            reply("CHANGED", list=shortened(changed.lines, "\n"), **missing)

        proxy.change(name, given, made)

    return run


def _log_level(proxy: Controlled, given: Parameters, reply: CommandReply) -> None:
    level = given.get("level", "")
    if level not in LEVELS:
        text = f"there is no level `{level[:20]}`; there are: {', '.join(LEVELS)}"
        reply("INVALID", command="LOG_LEVEL", message=text)
        return
    proxy.set_log_level(cast("Level", level))
    reply("CHANGED", list=f"the log has lines of the level {level} and above")


def _log_rotate(proxy: Controlled, given: Parameters, reply: CommandReply) -> None:
    proxy.reopen_log()
    reply("LOG_ROTATED")


def _reload(proxy: Controlled, given: Parameters, reply: CommandReply) -> None:
    def finished(reason: str) -> None:
        if reason:
            reply("NOT_RELOADED", reason=shortened(reason.splitlines(), "\n"))
        else:
            proxy.ask("reloads", {}, answered)

    def answered(answer: Answer) -> None:
        parts = [row for row in answer.rows if row["kind"] != "configuration"]
        lines = [_reload_line(row) for row in parts]
        results = {"list": shortened(list(dict.fromkeys(lines)), "\n")} if lines else {}
        reply("RELOADED", **results)

    proxy.reload(finished)


def _reload_line(row: Mapping[str, Any]) -> str:
    keys = f": {', '.join(row['keys'])}" if row.get("keys") else ""
    return f"{row['kind']} {row['name']}: {row['result']}{keys}"


def _restart(proxy: Controlled, given: Parameters, reply: CommandReply) -> None:
    if not proxy.has_workers:
        reply("INVALID", command="RESTART", message="this proxy has no workers to restart")
        return
    proxy.restart(_result(reply, "RESTARTED", "NOT_RESTARTED"))


def _stop(proxy: Controlled, given: Parameters, reply: CommandReply) -> None:
    reply("STOPPING")
    proxy.stop()


def _quitting(proxy: Controlled, given: Parameters, reply: CommandReply) -> None:
    reply("STOPPING")
    proxy.stop_at_once()


def _result(reply: CommandReply, done: str, failed: str) -> Callable[[str], None]:
    def finished(reason: str) -> None:
        if reason:
            reply(failed, reason=shortened(reason.splitlines(), "\n"))
        else:
            reply(done)

    return finished


def shortened(items: Sequence[str], separator: str) -> str:
    """Return items as one text of at most LISTED bytes; "..." stands for those left out."""
    text = separator.join(items)
    if len(text.encode(errors="surrogateescape")) <= LISTED:
        return text
    kept, size = [], 0
    for item in items:
        size += len((separator + item).encode(errors="surrogateescape"))
        if size > LISTED - len(separator) - 3:
            break
        kept.append(item)
    return separator.join([*kept, "..."])


COMMANDS: Final[Mapping[str, Command]] = {
    command.name: command
    for command in (
        Command("STATUS", _status, public=True),
        Command("SOURCES", _sources),
        Command("SHOW", _show),
        *(Command(name, _change(name), changes=True) for name in ("SERVER", "KILL", "DRAIN")),
        Command("LOG_LEVEL", _log_level, changes=True),
        Command("LOG_ROTATE", _log_rotate, changes=True),
        Command("RELOAD", _reload, changes=True),
        Command("RESTART", _restart, changes=True),
        Command("STOP", _stop, changes=True),
        Command("QUITTING", _quitting, changes=True),
    )
}
"""The commands by name. HELP and ALIVE concern the door itself: see BusDoor."""
