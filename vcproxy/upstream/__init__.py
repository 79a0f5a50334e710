"""Upstreams: the servers behind a listener, and which of them to try."""
