"""Mirrors: other servers that get what a client says, too. Begin with `mirroring`."""
