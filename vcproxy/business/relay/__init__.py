"""The relay: one source, any number of sinks. Begin with `relay`."""
