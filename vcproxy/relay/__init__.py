"""The relay: one source, any number of sinks. Start reading at `relay`."""
