"""Mirrors: further servers that get a copy of the requests. Start reading at `mirroring`."""
