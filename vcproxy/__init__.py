"""vcproxy: a programmable proxy built from VConnections, tunnels and small state machines."""
