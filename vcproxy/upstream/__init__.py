"""Upstreams: the servers behind a listener, which of them to try, and when again."""
