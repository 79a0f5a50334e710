"""Child processes of the simulated driver: simulated processes.

Tested in tests/conformance/test_sources.py and tests/drivers/test_sim_processes.py.
"""

from __future__ import annotations

import signal
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from vcproxy.drivers.sim.local_streams import LocalEndpoint, pipe
from vcproxy.engine.sources.child_process import Launched, LaunchFailed

if TYPE_CHECKING:
    from vcproxy.drivers.child_pipes import ChildPipes
    from vcproxy.drivers.sim.network import Network
    from vcproxy.drivers.sim.port_driver import PortDriver
    from vcproxy.drivers.sim.process import SimProcess
    from vcproxy.engine.sources.child_process import ChildProcess


class SimChild:
    """One child process, from the request until its end."""

    def __init__(
        self,
        driver: PortDriver,
        network: Network,
        source: ChildProcess,
        pipes: ChildPipes[LocalEndpoint] | None,
    ) -> None:
        """`pipes`: what takes its pipes, if it has some."""
        self._driver = driver
        self._network = network
        self._pipes = pipes
        self._processes = network.processes
        self._source = source
        self._process: SimProcess | None = None
        self._closed = False
        self._signals: list[int] = []  # to send once it is launched
        network.clock.after(network.span(self._processes.faults.launch_s), self._launch)

    def _launch(self) -> None:
        if self._closed:
            return
        launch = self._source.launch
        why = self._processes.failure(launch)
        if why is not None:
            failed = LaunchFailed(self._source.name, why)
            self.report(lambda _: failed)
            if self._pipes is not None:
                self._driver.complete(partial(self._pipes.fail, failed.text))
            return
        process = self._process = self._processes.launch(launch, self)
        self.report(lambda name: Launched(name, process.pid))
        if self._pipes is not None:
            made = {stream: self._pipe(process, stream) for stream in launch.pipes}
            self._driver.complete(partial(self._pipes.offer, made))
        self._processes.start(process)
        for number in self._signals:
            process.signal(number, self._driver.pid)

    def _pipe(self, process: SimProcess, stream: str) -> LocalEndpoint:
        """Make a pipe; return the end of the parent."""
        writer, reader = pipe(self._network, stream)
        ours, theirs = (writer, reader) if stream == "stdin" else (reader, writer)
        getattr(process, stream).attach(theirs)
        return ours

    def report(self, event_of: Callable[[str], object]) -> None:
        """See Parent."""
        event = event_of(self._source.name)
        self._driver.complete(partial(self._driver.engine.happened, self._source, event))

    def signal(self, number: int) -> None:
        """Send a signal, once it is launched."""
        if self._process is None:
            self._signals.append(number)
        else:
            self._process.signal(number, self._driver.pid)

    def set_watched(self, watched: bool) -> None:
        """See Opened. The engine keeps its events."""

    def close(self) -> None:
        """Kill it."""
        self._closed = True
        if self._process is not None:
            self._process.signal(signal.SIGKILL)
