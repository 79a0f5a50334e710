"""For authors of plugins and machines: simulated proxies, scripts, checks.

    SimulatedProxy     a plugin between clients and servers in memory, in virtual time
    Script             what a peer says and hears, compared line by line
    fragments          every way to cut some bytes in two
    Faults             what the simulated network does to you, by a seed
    check_machine      every state of a machine against every key

The laws of VConnections are in vcproxy.testing.conformance; the fixture that runs the real program
is in vcproxy.testing.pytest_plugin.
"""

from vcproxy.drivers.sim import Faults, Peer, Stuck, seeds
from vcproxy.testing.machines import check_machine
from vcproxy.testing.proxy import SimulatedProxy
from vcproxy.testing.script import Script, fragments

__all__ = [
    "Faults",
    "Peer",
    "Script",
    "SimulatedProxy",
    "Stuck",
    "check_machine",
    "fragments",
    "seeds",
]
