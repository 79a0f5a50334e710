"""The benchmark: vcproxy beside its peers, in one run, by the CPU each spends on a unit of work.

`make bench` runs it. It is not a test: it judges ratios, and a busy machine may fail it.
"""
