"""For authors of plugins and machines: simulated proxies, scripts, checks.

The laws of VConnections are in vcproxy.testing.conformance; the real program, as a pytest fixture,
is in vcproxy.pytest_plugin.
"""

from vcproxy.drivers.sim import DatagramPeer, NetworkFaults, Peer, Stuck, seeds
from vcproxy.testing.http import SimulatedHttp
from vcproxy.testing.machines import check_machine
from vcproxy.testing.proxy import SimulatedProxy
from vcproxy.testing.script import Script, fragments

__all__ = [
    "DatagramPeer",
    "NetworkFaults",
    "Peer",
    "Script",
    "SimulatedHttp",
    "SimulatedProxy",
    "Stuck",
    "check_machine",
    "fragments",
    "seeds",
]
