"""Test tools for authors of plugins and machines: simulated proxies, scripts, checks.

The rules that every VConnection must follow are tested by vcproxy.testing.conformance. The pytest
fixture that runs the real program is in vcproxy.pytest_plugin. Tested in tests/testing: each test
file has the name of its module.
"""

from vcproxy.drivers.sim import DatagramPeer, NetworkFaults, Peer, Stuck, seeds
from vcproxy.testing.bus_peer import BusPeer
from vcproxy.testing.http import SimulatedHttp
from vcproxy.testing.machines import check_machine
from vcproxy.testing.proxy import SimulatedProxy
from vcproxy.testing.script import Script, fragments
from vcproxy.testing.simulated_bus import SimulatedBus
from vcproxy.testing.simulated_machines import SimulatedMachines

__all__ = [
    "BusPeer",
    "DatagramPeer",
    "NetworkFaults",
    "Peer",
    "Script",
    "SimulatedBus",
    "SimulatedHttp",
    "SimulatedMachines",
    "SimulatedProxy",
    "Stuck",
    "check_machine",
    "fragments",
    "seeds",
]
