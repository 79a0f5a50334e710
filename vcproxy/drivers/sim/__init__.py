"""The simulated driver: the same engine on a network in memory, in virtual time, from a seed."""

from vcproxy.drivers.sim.datagram_peer import DatagramPeer
from vcproxy.drivers.sim.driver import SimDriver
from vcproxy.drivers.sim.faults import Faults
from vcproxy.drivers.sim.peer import Peer
from vcproxy.drivers.sim.simulation import Server, Simulation, Stuck, seeds

__all__ = ["DatagramPeer", "Faults", "Peer", "Server", "SimDriver", "Simulation", "Stuck", "seeds"]
