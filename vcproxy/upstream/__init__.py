"""Upstreams: the servers behind a listener, how one is picked, and when it is tried again."""
