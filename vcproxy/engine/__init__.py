"""The deterministic engine: events in, commands out, no operating system anywhere below here."""
