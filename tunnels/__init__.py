"""Tunnels: machines that move what they are lent and give it back with one TunnelDone."""
