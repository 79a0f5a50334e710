"""Changes: what an operator can change in a running proxy, without a reload.

`table` has all of them. A change is carried out on the net threads, as an engine call that a
recording contains and a replay repeats; with workers, in each of them.
"""
