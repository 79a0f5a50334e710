"""ConfiguredProxy: a complete configuration in simulation, all its listeners on one engine.

    configuration = load(Path("proxy.toml"))
    with ConfiguredProxy(configuration, seed=7, record=Path("7.log")) as proxy:
        server = proxy.sim.server(Address.parse("tcp://10.0.0.7:5432"))
        client = proxy.client("db")
        client.send(b"ping")
        proxy.sim.run()

With `record`, the run can be repeated by `vcproxy replay`, even if it ended with an exception.
Tested in tests/replay/test_what_if.py and tests/replay/log/test_round_trip.py.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

from vcproxy.drivers.sim import NetworkFaults, Peer, ProcessFaults, SimDriver, Simulation
from vcproxy.listeners.hosts import TlsFiles
from vcproxy.listeners.listeners import Listeners
from vcproxy.replay.record.recording import Recording

if TYPE_CHECKING:
    import ssl

    from vcproxy.access_log.log import AccessTargets
    from vcproxy.config.loader import Configuration
    from vcproxy.engine.address import Address
    from vcproxy.engine.listener import Listener


class SimHost(TlsFiles):
    """A host in a simulation. See Host."""

    resumes = False
    """The length of a ticket varies by chance, and a simulation must repeat."""

    def __init__(self, driver: SimDriver) -> None:
        self.engine = driver.engine
        self.driver = driver
        self.places: dict[str, list[Address]] = {}
        """The bound addresses, by the name of the listener."""

    def listen(self, address: Address, listener: Listener) -> Address:
        """See Host."""
        real = self.driver.listen(address, listener)
        self.places.setdefault(listener.name, []).append(real)
        return real

    def unlisten(self, listener: Listener, address: Address | None = None) -> None:
        """See Host."""
        self.driver.unlisten(listener)

    def hand_over(self, address: Address, old: Listener, new: Listener) -> None:
        """See Host."""
        raise NotImplementedError("a listener cannot get another name in a simulation")

    def renew(self, address: Address, listener: Listener) -> None:
        """See Host."""


class ConfiguredProxy:
    """A proxy with a complete configuration, between scripted peers.

    Args:
        configuration: as `vcproxy.config.loader.load` returns it.
        seed, faults, process_faults: see Simulation. `sim.programs` has the programs that plugins
            can launch.
        record: the file to record the run to. A recording has one net thread, so no other thread
            can hold a mutex: the fault `lock_miss` is off.
        access_targets: where access logs are written to; None: nowhere.
    """

    def __init__(
        self,
        configuration: Configuration,
        *,
        seed: int = 0,
        faults: NetworkFaults | None = None,
        process_faults: ProcessFaults | None = None,
        record: Path | None = None,
        access_targets: AccessTargets | None = None,
    ) -> None:
        faults = faults or NetworkFaults()
        self._path = record
        self._access_targets = access_targets
        self.recording: Recording | None = None
        """What records the run; None: it is not recorded."""
        if record is None:
            self.sim = Simulation(seed, faults, process_faults=process_faults)
            settings = configuration.settings
            memory, direct = settings.proxy.memory, settings.http.direct
            driver = self.sim.driver("net-0", memory=memory, direct=direct)
            self._serve(configuration, SimHost(driver))
            return
        unlocked = replace(faults, lock_miss=0.0)
        self.sim = Simulation(seed, unlocked, process_faults=process_faults)
        recorded = configuration.recorded_to(record).settings.record
        assert recorded is not None
        self.recording = Recording(configuration, recorded, self.sim.record_log, seed)
        self._path = self.recording.writer.path
        self._serve(configuration, SimHost(self.sim.attach(self.recording.engine)))

    def _serve(self, configuration: Configuration, host: SimHost) -> None:
        self.engine, self.driver = host.engine, host.driver
        self.printed: list[str] = []
        """The lines on standard error: addresses of the listeners, and output of programs."""
        recorded = host if self.recording is None else self.recording.host(host)
        self._places = host.places
        self.listeners = Listeners(
            recorded, [self.engine], self.printed.append, access_targets=self._access_targets
        )
        self._apply(configuration)

    def _apply(self, configuration: Configuration) -> None:
        if self.recording is None:
            self.listeners.apply(configuration)
        else:
            with self.recording.serving(configuration):
                self.listeners.apply(configuration)

    def reload(self, configuration: Configuration) -> None:
        """Apply another configuration, as after SIGHUP, at the next run of the simulation.

        The names of its listeners must be the same as before.
        """
        self.engine.inbox.feed(partial(self._apply, configuration))

    def __enter__(self) -> ConfiguredProxy:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.sim.__exit__(kind, error, traceback)
        if self.recording is not None:
            self.recording.close(orderly=error is None)
            if error is not None:
                error.add_note(f"recorded: `vcproxy replay {self._path}` repeats the run")

    def client(
        self, name: str, number: int = 0, tls: ssl.SSLContext | None = None, server_name: str = ""
    ) -> Peer:
        """Return a client connected to a listener, at its address number `number`, from 0."""
        return self.sim.client(self._places[name][number], tls, server_name)
