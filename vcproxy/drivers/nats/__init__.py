"""NATS subjects as whole VCs, through nats-py, the client library of the NATS project.

The library speaks asyncio: one thread of its own for each driver runs it, from the first VC on. A
port has an end in each of the two threads, with a bounded queue between them for each direction;
they call each other through the engine's inbox and `Loop.call`. What names the library is imported
in its thread, when the first connection is opened.
"""

from vcproxy.drivers.nats.loop import Loop
from vcproxy.drivers.nats.opening import open_port

__all__ = ["Loop", "open_port"]
