"""Tunnels: machines that move bytes or messages between VCs, and give them back with TunnelDone."""
