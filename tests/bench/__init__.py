"""The benchmark: vcproxy and its peers in one run, compared by CPU time per unit of work.

`make bench` runs it. It is not a test: it checks ratios, and may fail on a busy machine.
"""
