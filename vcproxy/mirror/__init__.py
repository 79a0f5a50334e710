"""Mirrors: further servers that get a copy of the requests. Start at `mirroring`."""
