"""The shipped conformance suite, run on every kind of VConnection."""
