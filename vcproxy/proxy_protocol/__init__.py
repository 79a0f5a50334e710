"""The PROXY protocol of HAProxy, versions 1 and 2, as values: no I/O."""
