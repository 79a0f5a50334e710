"""StandardMessages: what a service does with the messages that every service receives.

Their entries have the system priority: an entry for the same command with the default priority
replaces one of them. The table is that of eventdispatcher.md 3 and 7.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from vcproxy.bus.dispatch.dispatcher import SYSTEM_PRIORITY, Dispatcher, pattern_of
from vcproxy.bus.message.invalid_message import printable

if TYPE_CHECKING:
    from vcproxy.bus.dispatch.received_message import ReceivedMessage


class StandardMessages:
    """The receivers of the standard messages of one service. Subclasses override its methods.

        ALIVE                replies ABSOLUTELY
        ABSOLUTELY           nothing: it is the reply to an ALIVE of this service
        HELP                 replies COMMANDS
        COMMANDS             nothing
        INVALID, UNKNOWN     logs that a message of this service was not accepted
        LEAK, LOG_ROTATE     `leak`, `log_rotate`
        QUITTING, STOP       `stop`
        READY, RESTART       `ready`, `restart`
        SERVICE_UNAVAILABLE  nothing
        all others           replies UNKNOWN

    What this service does not do is answered with INVALID and the reason.
    """

    def __init__(self, dispatcher: Dispatcher, time_of_day: Callable[[], int | float]) -> None:
        """Add the entries, and the catch-all. `time_of_day` returns seconds since 1970, UTC."""
        self.dispatcher = dispatcher
        self.time_of_day = time_of_day
        self._logged_at = -1  # the second of the last refusal that was logged
        self._unlogged = 0  # refusals since then
        for command, callback in (
            ("ABSOLUTELY", self.ignore),
            ("ALIVE", self.reply_absolutely),
            ("COMMANDS", self.ignore),
            ("HELP", self.reply_commands),
            ("INVALID", self.log_refusal),
            ("LEAK", self.leak),
            ("LOG_ROTATE", self.log_rotate),
            ("QUITTING", self.quit),
            ("READY", self.ready),
            ("RESTART", self.restart),
            ("SERVICE_UNAVAILABLE", self.ignore),
            ("STOP", self.stop),
            ("UNKNOWN", self.log_refusal),
        ):
            dispatcher.add(command, callback, priority=SYSTEM_PRIORITY)
        dispatcher.catch_all()

    # -- to be overridden --------------------------------------------------------------------

    def stop(self, received: ReceivedMessage) -> None:
        """STOP: end in order."""
        self.dispatcher.reply_invalid(received, "this service cannot be stopped by a message")

    def quit(self, received: ReceivedMessage) -> None:
        """QUITTING: end at once, as all services do. By default as STOP."""
        self.stop(received)

    def restart(self, received: ReceivedMessage) -> None:
        """RESTART: start again, with changed programs or another configuration."""
        self.dispatcher.reply_invalid(received, "this service cannot be restarted by a message")

    def ready(self, received: ReceivedMessage) -> None:
        """READY: the service to which this one has registered is ready for its messages."""

    def log_rotate(self, received: ReceivedMessage) -> None:
        """LOG_ROTATE: open the log files again."""
        self.dispatcher.reply_invalid(received, "this service has no log files to open again")

    def leak(self, received: ReceivedMessage) -> None:
        """LEAK: log what is held in memory."""
        self.dispatcher.reply_invalid(received, "this service does not count its memory")

    def more_commands(self) -> Iterable[str]:
        """Return commands to list in COMMANDS besides the dispatcher's: those that its catch-all
        or a match function receives."""
        return ()

    def describe(self, command: str) -> str:
        """Return the line for HELP with a command: see Dispatcher.describe. "": none."""
        return self.dispatcher.describe(command)

    # -- replies -----------------------------------------------------------------------------

    def ignore(self, received: ReceivedMessage) -> None:
        """Do nothing."""

    def reply_absolutely(self, received: ReceivedMessage) -> None:
        """Reply to ALIVE, with its parameters, and the time in seconds since 1970."""
        parameters = received.message.parameters
        copied = {name: parameters[name] for name in ("serial", "timestamp") if name in parameters}
        received.reply("ABSOLUTELY", **copied, reply_timestamp=str(self.time_of_day()))

    def reply_commands(self, received: ReceivedMessage) -> None:
        """Reply to HELP with all commands; to HELP with a `command`, with that and its usage."""
        command = received.message.parameters.get("command")
        if command is None:
            commands = {*self.dispatcher.commands(), *self.more_commands()}
            received.reply("COMMANDS", list=",".join(sorted(commands)))
            return
        usage = self.describe(command)
        if usage:
            received.reply("COMMANDS", list=pattern_of(usage), usage=usage)
        else:
            received.reply("UNKNOWN", command=command)

    def log_refusal(self, received: ReceivedMessage) -> None:
        """Log that a message was refused, or is not supported, by its receiver.

        At most once a second: a peer that sends many must not flood the log.
        """
        now = int(self.time_of_day())
        if now == self._logged_at:
            self._unlogged += 1
            return
        self._logged_at = now
        unlogged, self._unlogged = self._unlogged, 0
        parameters = received.message.parameters
        place = received.name or "the receiver"
        verb = "does not support" if received.command == "UNKNOWN" else "has refused"
        text = printable(f"{place} {verb} {parameters.get('command', 'a message')}")
        if "message" in parameters:
            text += f": {printable(parameters['message'])}"
        if unlogged:
            text += f" ({unlogged} more were not logged)"
        self.dispatcher.log("warning", text)
