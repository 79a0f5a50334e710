"""Sessions: what a plugin does with one client; programs get all clients of a listener."""
