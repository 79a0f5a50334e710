"""Garbage collection: when Python looks for unreachable cycles of objects.

What belongs to a connection or a request is freed by its reference counts as soon as it is closed:
none of it is in a cycle (tests/app/test_garbage.py counts). What is left for the collector is what
the start and reloads leave behind, and what plugins make. So it runs seldom, and it never visits
the modules, classes and configuration, which stay for the whole run. Tested in
tests/app/test_garbage.py.
"""

import gc

YOUNG = 10_000
"""New objects until the youngest are visited: those of about 250 tunnels. Python's own 700 cost 5 %
of a short connection while cycles were left, and as much while many connections were opened."""


def postpone() -> None:
    """Collect nothing until `settle`: of what imports make, little is garbage.

    Visiting it all again and again takes a tenth of the start.
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
