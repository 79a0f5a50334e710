"""The relay plugin: one source, any number of sinks. Start reading at `relay.py`."""
