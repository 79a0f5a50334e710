"""Control: how a running proxy is asked and commanded.

`controlled` is the proxy as commands act on it, `commands` the one table of them, `bus_door` the
way in by messages. Nothing here does I/O: a door runs on an engine of its own.
"""
