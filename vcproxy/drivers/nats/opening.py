"""Which port an address calls for."""

from __future__ import annotations

from vcproxy.drivers.nats.durable import DurableSubscriber
from vcproxy.drivers.nats.loop import Loop
from vcproxy.drivers.nats.publisher import Publisher
from vcproxy.drivers.nats.subscriber import Subscriber
from vcproxy.engine.commands import Connect, Hear


def open_port(loop: Loop, command: Connect | Hear) -> None:
    """Answer Connect or Hear of a nats: address."""
    outgoing, address = command.outgoing, command.address
    durable = address.parameter("durable")
    if isinstance(command, Hear):
        if durable:
            DurableSubscriber(loop, outgoing).open()
        elif address.parameter("stream"):
            outgoing.refused(ValueError("a stream is heard with durable=NAME"))
        else:
            Subscriber(loop, outgoing).open()
    elif durable:
        outgoing.refused(ValueError("durable= is for what is heard, not for what is published"))
    elif address.wildcard:
        outgoing.refused(ValueError(f"{address.path} is many subjects: nothing goes to all"))
    else:
        Publisher(loop, outgoing).open()
