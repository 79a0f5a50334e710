"""BusDoor: lets a running proxy be asked and commanded by messages of the bus.

It runs on an engine of its own, in a thread of its own, so that it answers while the net threads
are busy, and is not part of a recording.

A way in is *trusted*, a Unix socket or mutual TLS, or open to everybody in the networks allowed:
there only the public commands are carried out. On a trusted way, what is no command goes to the
plugins that declare it, and a message for another service to that service.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Final

from vcproxy.admission.admission import Admission
from vcproxy.admission.networks import AdmittedAddresses
from vcproxy.bus.connections.datagram_messages import DatagramMessages
from vcproxy.bus.connections.message_connection import MessageConnection
from vcproxy.bus.connections.message_listener import MessageListener
from vcproxy.bus.dispatch.dispatcher import (
    HERE,
    LAST_PRIORITY,
    UNANSWERED,
    Dispatcher,
    Match,
    pattern_of,
    usage_of,
)
from vcproxy.bus.dispatch.routes import Routes
from vcproxy.bus.dispatch.standard_messages import StandardMessages
from vcproxy.bus.message.bus_message import BusMessage
from vcproxy.bus.message.invalid_message import MessageTooLong
from vcproxy.control.commands import COMMANDS, Command, CommandReply, shortened
from vcproxy.control.service_link import ServiceLink
from vcproxy.engine.continuation import Continuation
from vcproxy.engine.mutex import Mutex
from vcproxy.engine.sources.datagrams import BindFailed

if TYPE_CHECKING:
    from ipaddress import IPv4Network, IPv6Network

    from vcproxy.bus.dispatch.received_message import ReceivedMessage
    from vcproxy.bus.message.definitions import Definitions
    from vcproxy.control.controlled import Controlled
    from vcproxy.engine.address import Address
    from vcproxy.engine.engine import Engine

MAX_CONNECTIONS: Final = 24
"""The most connections at one address: operators and tools, out of the reserve of descriptors."""

IDLE_S: Final = 60.0
"""How long a connection may be silent where everybody allowed can connect: silent clients must not
keep others out. A tool that asks every few seconds keeps its connection."""

LATE_S: Final = 60.0
"""How long a client that has ended its direction, as `echo RESTART | socat` does, is kept for the
reply to a command. It is closed with the reply. Workers are restarted in that time, unless their
connections need longer to drain."""

PLUGIN_S: Final = 5.0
"""The same for a message to plugins: whether they will reply, and how often, is not known."""

MOST_LATE: Final = 256
"""Commands that may wait for their end at a time, of all connections together. Reloads that are
requested faster than a configuration is loaded would otherwise wait without limit."""

PUBLIC: Final = ("ALIVE", "HELP", *(each.name for each in COMMANDS.values() if each.public))
"""The commands that are carried out wherever they come from."""


@dataclass(frozen=True, slots=True)
class DoorSettings:
    """What the door of a proxy is, and what it lets in."""

    service: str
    """The name of the proxy as a service."""
    server: str
    """The name of this computer."""
    definitions: Definitions
    allow: Sequence[IPv4Network | IPv6Network] = ()
    """The networks that may use the addresses that are no Unix sockets."""
    services: Mapping[str, Address] | None = None
    """Other services, by name."""
    connect_tls: object = None
    """The driver's TLS context for services on tls://."""
    trace: bool = False
    """Whether each message is logged when it is received."""


class BusDoor:
    """The door of one proxy. All methods belong to the thread of its engine."""

    def __init__(self, engine: Engine, proxy: Controlled, settings: DoorSettings) -> None:
        self._engine = engine
        self._proxy = proxy
        self._settings = settings
        self._listeners: list[MessageListener] = []
        self._late: Counter[MessageConnection] = Counter()  # replies that are to come
        self._own = f"{settings.server}:{settings.service}"
        self._routes = Routes()
        self._links = {
            name: ServiceLink(
                engine, name, address, settings.server, settings.service, settings.connect_tls
            )
            for name, address in (settings.services or {}).items()
        }
        self._trusted = self._dispatcher(trusted=True)
        self._public = self._dispatcher(trusted=False)
        proxy.on_reply(lambda route, text: engine.inbox.feed(partial(self._replied, route, text)))

    def listener(
        self, address: Address, tls: object = None, *, mutual: bool = False
    ) -> MessageListener:
        """Return the listener for an address.

        `tls`: the driver's context for tls://; `mutual`: whether it requires certificates.
        """
        unix = address.scheme == "unix"
        trusted = unix or (address.secure and mutual)
        listener = MessageListener(
            self._engine,
            f"control at {address.text}",
            self._trusted if trusted else self._public,
            tls=tls,
            max_connections=MAX_CONNECTIONS,
            idle_s=0.0 if trusted else IDLE_S,
        )
        if not unix:
            listener.admission = Admission(AdmittedAddresses(self._settings.allow))
        self._listeners.append(listener)
        return listener

    def datagrams(self, address: Address) -> None:
        """Take messages at a udp:// address. What goes wrong is logged."""
        mutex = Mutex()
        with mutex.hold(self._engine):
            allowed = AdmittedAddresses(self._settings.allow)
            BusDatagrams(self._engine, mutex, address, self._public, allowed)

    def close(self) -> None:
        """Close all connections, each after its output."""
        for listener in self._listeners:
            listener.finish()

    # -- messages ----------------------------------------------------------------------------

    def _dispatcher(self, *, trusted: bool) -> Dispatcher:
        settings = self._settings
        dispatcher = Dispatcher(
            settings.service,
            server=settings.server,
            definitions=settings.definitions,
            log=self._engine.log,
            trace=settings.trace,
            forward=self._forward if trusted else None,
        )
        standard = StandardMessages(dispatcher, lambda: self._engine.wall)
        dispatcher.add("HELP", partial(self._help if trusted else _public_help, standard))
        for command in COMMANDS.values():
            open_here = trusted or command.public
            dispatcher.add(command.name, partial(self._run, command) if open_here else _refuse)
        if trusted:
            dispatcher.add("plugins", self._to_plugins, priority=LAST_PRIORITY, match=_any)
        return dispatcher

    def _help(self, standard: StandardMessages, received: ReceivedMessage) -> None:
        wanted = received.message.parameters.get("command")
        if wanted is not None and standard.describe(wanted):
            standard.reply_commands(received)
            return

        reply = self._reply_to(received)

        def collected(usages: Sequence[str]) -> None:
            if wanted is None:
                commands = sorted({"ALIVE", "HELP", *COMMANDS, *map(pattern_of, usages)})
                reply("COMMANDS", list=shortened(commands, ","))
            else:
                _describe(wanted, usages, reply)

        self._proxy.usages("", collected)

    def _run(self, command: Command, received: ReceivedMessage) -> None:
        if self._late.total() >= MOST_LATE:
            self._trusted.reply_invalid(received, f"{MOST_LATE} commands wait for their end")
            return
        connection = received.origin
        command.carry_out(
            self._proxy,
            received.message.parameters,
            self._reply_to(received),
            origin=getattr(connection, "name", self._own),
            log=self._engine.log,
        )

    def _reply_to(self, received: ReceivedMessage) -> CommandReply:
        """Return the way to the one reply of a command, which may come later.

        Its connection waits for it, also if the client has ended its direction.
        """
        connection = received.origin
        if not isinstance(connection, MessageConnection):
            return received.reply
        self._late[connection] += 1
        connection.half_close_s = LATE_S

        def reply(command: str, /, **parameters: str | int) -> None:
            answer = partial(self._answer, connection, received, command, parameters)
            if connection.mutex.held:
                answer()
            else:  # first the reply, then what closes the connection: both in this thread
                self._engine.inbox.feed(answer)

        return reply

    def _keep(self, received: ReceivedMessage) -> None:
        """Keep a connection for replies of plugins or of another service."""
        connection = received.origin
        if isinstance(connection, MessageConnection):
            connection.half_close_s = max(connection.half_close_s, PLUGIN_S)

    def _answer(
        self,
        connection: MessageConnection,
        received: ReceivedMessage,
        command: str,
        parameters: Mapping[str, str | int],
    ) -> None:
        """Send the reply to a command; close its connection if it was kept for that only."""
        received.reply(command, **parameters)
        self._late[connection] -= 1
        if not self._late[connection]:
            del self._late[connection]
            if connection.input_ended:
                connection.finish()
            else:
                connection.half_close_s = 0.0

    # -- plugins and other services ------------------------------------------------------------

    def _to_plugins(self, received: ReceivedMessage) -> None:
        self._deliver(received, "", partial(self._trusted.reply_unknown, received))

    def _deliver(self, received: ReceivedMessage, name: str, not_taken: Callable[[], None]) -> None:
        message = received.message
        try:
            text = message.to_text()
        except MessageTooLong as error:  # written out, it is longer than it came
            self._trusted.reply_invalid(received, str(error))
            return

        def delivered(count: int) -> None:
            if not count:
                not_taken()

        route = self._routes.add(received.send_back)
        self._keep(received)
        self._proxy.deliver(message.command, text, name, route, delivered)

    def _replied(self, route: int, text: str) -> None:
        send_back = self._routes.get(route)
        if send_back is not None:
            send_back(BusMessage.parse(text))

    def _forward(self, received: ReceivedMessage) -> bool:
        """Pass on a message for another service, or for the plugins of a listener."""
        message = received.message
        link = self._links.get(message.service)
        if link is not None:
            self._keep(received)
            link.forward(received)
            return True
        here = message.server in HERE or message.server == self._settings.server
        if message.service == self._settings.service or not here:
            return False  # it is for another server

        def not_taken() -> None:
            known = ", ".join(sorted(self._links)) or "none"
            text = f"it is for {message.service}; this is {self._own}; services known here: {known}"
            self._trusted.reply_invalid(received, text)

        problems = self._settings.definitions.problems(message)
        if problems:
            self._trusted.reply_invalid(received, "; ".join(problems))
        elif message.command == "HELP":
            self._help_of(message.service, received, not_taken)
        else:
            self._deliver(received, message.service, not_taken)
        return True

    def _help_of(self, name: str, received: ReceivedMessage, not_taken: Callable[[], None]) -> None:
        wanted = received.message.parameters.get("command")

        def collected(usages: Sequence[str]) -> None:
            if not usages:
                not_taken()
            elif wanted is None:
                commands = shortened(sorted(map(pattern_of, usages)), ",")
                received.reply("COMMANDS", list=commands)
            else:
                _describe(wanted, usages, received.reply)

        self._proxy.usages(name, collected)


class BusDatagrams(Continuation):
    """Takes the datagrams of a door. Created with its mutex held."""

    def __init__(
        self,
        engine: Engine,
        mutex: Mutex,
        address: Address,
        dispatcher: Dispatcher,
        allowed: AdmittedAddresses,
    ) -> None:
        super().__init__(engine, mutex)
        self._name = f"control at {address.text}"
        DatagramMessages(
            self,
            address,
            dispatcher=dispatcher,
            admits=lambda sender: sender[0] in allowed,
            name=self._name,
        )

    def handle_event(self, key: Hashable, data: object) -> None:
        """Log that the address cannot be bound."""
        if isinstance(data, BindFailed):
            self.engine.log("error", f"{self._name}: cannot listen there: {data.reason}")


def _refuse(received: ReceivedMessage) -> None:
    text = "it is carried out at a Unix socket, or with a client certificate, only"
    received.reply("INVALID", command=received.command, message=text)


def _describe(command: str, usages: Iterable[str], reply: CommandReply) -> None:
    """Reply with the line about a command of plugins."""
    usage = usage_of(command, usages)
    if usage:
        reply("COMMANDS", list=pattern_of(usage), usage=usage)
    else:
        reply("UNKNOWN", command=command)


def _public_help(standard: StandardMessages, received: ReceivedMessage) -> None:
    if "command" in received.message.parameters:
        standard.reply_commands(received)
    else:
        received.reply("COMMANDS", list=",".join(sorted(PUBLIC)))


def _any(name: str, message: BusMessage) -> Match:
    return Match.YES if message.command not in UNANSWERED else Match.NO
