"""open_port: chooses the class of port for a nats: address.

Tested in tests/drivers/test_nats.py.
"""

from __future__ import annotations

from vcproxy.drivers.nats.asyncio_thread import AsyncioThread
from vcproxy.drivers.nats.durable import DurableSubscriber
from vcproxy.drivers.nats.publisher import Publisher
from vcproxy.drivers.nats.subscriber import Subscriber
from vcproxy.engine.commands import Connect, Subscribe


def open_port(loop: AsyncioThread, command: Connect | Subscribe) -> None:
    """Start to open a port for a Connect or Subscribe to a nats: address, or refuse it."""
    outgoing, address = command.outgoing, command.address
    durable = address.parameter("durable")
    if isinstance(command, Subscribe):
        if durable:
            DurableSubscriber(loop, outgoing).open()
        elif address.parameter("stream"):
            outgoing.refused(address, ValueError("subscribing to a stream needs durable=NAME"))
        else:
            Subscriber(loop, outgoing).open()
    elif durable:
        why = "durable= is for subscribing, not for publishing"
        outgoing.refused(address, ValueError(why))
    elif address.wildcard:
        why = f"{address.path} has a wildcard: publishing needs one subject"
        outgoing.refused(address, ValueError(why))
    else:
        Publisher(loop, outgoing).open()
