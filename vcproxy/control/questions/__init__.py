"""Questions: what a running proxy answers about itself, as rows.

`table` has all questions. One module for each of them yields its rows, on the net thread that they
are about; `slices` makes a few in each turn of that thread, and `collecting` gathers those of all
threads of a process into an Answer.
"""
