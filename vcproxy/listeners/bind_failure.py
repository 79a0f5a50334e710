"""bind_failure: why an address could not be bound, and what shows the way out.

Imported only when binding has failed. Tested in tests/listeners/test_bind_failure.py.
"""

from __future__ import annotations

import errno

from vcproxy.engine.address import LOCAL, Address

PRIVILEGED = 1024
"""Ports below need a privilege: ip(7), ip_unprivileged_port_start."""


def bind_failure(address: Address, error: OSError) -> str:
    """Return the reason of the system, and where a common one can be looked up."""
    reason = (error.strerror or str(error)).lower()
    return f"cannot listen at {address}: {reason}{_way_out(address, error.errno)}"


def _way_out(address: Address, code: int | None) -> str:
    if address.scheme in LOCAL:
        return ""
    if code == errno.EADDRINUSE:
        return "; ss -tulnp shows the program that has it"
    if code == errno.EADDRNOTAVAIL:
        return "; it is no address of this host: ip address shows those"
    if code == errno.EACCES and address.port < PRIVILEGED:
        return f"; ports below {PRIVILEGED} need a privilege: see docs/how-to/privileges.md"
    return ""
