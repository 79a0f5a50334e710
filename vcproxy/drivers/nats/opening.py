"""Which port an address calls for."""

from __future__ import annotations

from vcproxy.drivers.nats.asyncio_thread import AsyncioThread
from vcproxy.drivers.nats.durable import DurableSubscriber
from vcproxy.drivers.nats.publisher import Publisher
from vcproxy.drivers.nats.subscriber import Subscriber
from vcproxy.engine.commands import Connect, Subscribe


def open_port(loop: AsyncioThread, command: Connect | Subscribe) -> None:
    """Answer Connect or Subscribe of a nats: address."""
    outgoing, address = command.outgoing, command.address
    durable = address.parameter("durable")
    if isinstance(command, Subscribe):
        if durable:
            DurableSubscriber(loop, outgoing).open()
        elif address.parameter("stream"):
            outgoing.refused(address, ValueError("a stream is heard with durable=NAME"))
        else:
            Subscriber(loop, outgoing).open()
    elif durable:
        why = "durable= is for what is heard, not for what is published"
        outgoing.refused(address, ValueError(why))
    elif address.wildcard:
        why = f"{address.path} is many subjects: nothing goes to all"
        outgoing.refused(address, ValueError(why))
    else:
        Publisher(loop, outgoing).open()
