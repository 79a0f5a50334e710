"""A dialogue on the bus: HI is answered by DAD, CLIMB by TOP, WHO by MOM; BYE ends it.

QUIT, as a datagram, ends the program. It is the sample of the original, at its ports:

    vcproxy -c samples/bus/dialogue.toml
    python samples/bus/talk.py
"""

from dataclasses import dataclass

from vcproxy.api import (
    BindFailed,
    Bound,
    ConnectionEnded,
    DatagramMessages,
    Dispatcher,
    Endpoint,
    MessageConnection,
    NetVConnection,
    Program,
    ReceivedMessage,
    show_peer,
    stop_proxy,
)

ANSWERS = {"HI": "DAD", "CLIMB": "TOP", "WHO": "MOM"}


class Dialogue(Program):
    """Answers on each connection."""

    @dataclass(frozen=True)
    class Options:
        """Where QUIT is received."""

        quit: Endpoint

    options: Options

    def start(self) -> None:
        """Receive datagrams from now on."""
        self.dispatcher = Dispatcher("dialogue", log=self.engine.log)
        for command in ANSWERS:
            self.dispatcher.add(command, self.answer)
        self.dispatcher.add("BYE", self.bye)
        self.dispatcher.catch_all()
        quitting = Dispatcher("dialogue", log=self.engine.log)
        quitting.add("QUIT", lambda received: stop_proxy(self.engine))
        quitting.catch_all()
        DatagramMessages(self, self.options.quit, dispatcher=quitting)

    def handle_event(self, key: object, data: object) -> None:
        """Take a client; log what happens to the sockets."""
        if isinstance(data, NetVConnection):
            MessageConnection(self, data, dispatcher=self.dispatcher)
        elif isinstance(data, Bound):
            self.log(f"QUIT is received at {show_peer(data.address)}")
        elif isinstance(data, ConnectionEnded | BindFailed):
            self.log(f"{data.name}: {data.reason}")

    def answer(self, received: ReceivedMessage) -> None:
        """Answer a message."""
        received.reply(ANSWERS[received.command])

    def bye(self, received: ReceivedMessage) -> None:
        """End the connection."""
        assert isinstance(received.origin, MessageConnection)
        received.origin.finish()
