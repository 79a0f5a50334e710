"""Garbage collection: when Python looks for unreachable cycles of objects.

What belongs to a connection or a request is freed by its reference counts as soon as it is closed:
none of it is in a cycle (tests/app/test_garbage.py counts). Only the start, reloads and plugins
leave cycles for the collector. So it runs seldom, and it never visits the modules, classes and
configuration, which stay for the whole run. Tested in tests/app/test_garbage.py.
"""

import gc

YOUNG = 10_000
"""Number of new objects after which the youngest ones are visited: those of about 250 tunnels.
Python's own 700 cost 5 % of a short connection while cycles were left, and as much while many
connections were opened."""


def postpone() -> None:
    """Switch collection off until `settle` is called.

    Imports create little garbage, and visiting all their objects repeatedly takes a tenth of the
    start.
    """
    gc.disable()


def settle() -> None:
    """Collect once, then exclude all objects that are left from later collections, until the next
    call. It is called after the start and after each reload."""
    gc.unfreeze()
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG)
    gc.enable()
