"""Duties: everyday work of an HTTP proxy that keys of a listener or a route declare."""
