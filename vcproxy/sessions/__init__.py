"""Sessions: a plugin's code for one client. Programs: for all clients of a listener."""
