"""The pipes of child processes as ports of the epoll driver.

Tested in tests/conformance/test_child_pipes.py.
"""

from __future__ import annotations

import os
from functools import partial
from typing import TYPE_CHECKING

from vcproxy.drivers.child_pipes import ChildPipes
from vcproxy.drivers.epoll.descriptor_port import NONE, DescriptorPort
from vcproxy.engine.sources.child_process import stream_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from vcproxy.drivers.epoll.poller import Poller
    from vcproxy.engine.commands import Connect
    from vcproxy.engine.sources.child_process import ChildProcess


def pipes_of(
    driver: Poller, source: ChildProcess, finished: Callable[[], object]
) -> ChildPipes[int] | None:
    """Return what takes the pipes of a child; None: it has none."""
    streams = source.launch.pipes
    if not streams:
        return None
    return ChildPipes(streams, partial(_attach, driver), os.close, finished)


def _attach(driver: Poller, command: Connect, fd: int) -> None:
    outgoing, address = command.outgoing, command.address
    stream = stream_of(address)
    ends = (NONE, fd) if stream == "stdin" else (fd, NONE)
    try:
        port = DescriptorPort(driver, *ends)
    except OSError as error:  # the limit of watched descriptors; it has closed the descriptor
        outgoing.refused(address, OSError(os.strerror(error.errno or 0).lower()))
        return
    port.vc = outgoing.vc
    outgoing.connected(address, port, lambda: stream, stream)
