"""NATS subjects as message-oriented VCs, by nats-py, the client library of the NATS project.

The library uses asyncio. Each driver runs it on one separate thread, started with the first NATS
VC. A port has one half in each of the two threads and a bounded queue between them for each
direction. The threads call each other through the engine's inbox and `AsyncioThread.call`. Modules
of the library are imported on that thread, when the first connection is opened.

Tested in tests/drivers/test_nats.py.
"""

from vcproxy.drivers.nats.asyncio_thread import AsyncioThread
from vcproxy.drivers.nats.opening import open_port

__all__ = ["AsyncioThread", "open_port"]
