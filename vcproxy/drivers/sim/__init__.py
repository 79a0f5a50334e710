"""The simulated driver: runs engines on a network in memory, in virtual time, from a seed."""

from vcproxy.drivers.sim.datagram_peer import DatagramPeer
from vcproxy.drivers.sim.driver import SimDriver
from vcproxy.drivers.sim.faults import NetworkFaults
from vcproxy.drivers.sim.peer import Peer
from vcproxy.drivers.sim.process import SimProcess
from vcproxy.drivers.sim.processes import ProcessFaults
from vcproxy.drivers.sim.simulation import SimulatedServer, Simulation, Stuck, seeds

__all__ = [
    "DatagramPeer",
    "NetworkFaults",
    "Peer",
    "ProcessFaults",
    "SimDriver",
    "SimProcess",
    "SimulatedServer",
    "Simulation",
    "Stuck",
    "seeds",
]
