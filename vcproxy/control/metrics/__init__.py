"""Metrics: what a running proxy counts, in the formats of Prometheus.

`table` has all metrics of the proxy, and says which column of which question each one is; those of
plugins declare themselves: see vcproxy/instruments. The question `metrics` collects them in the net
threads; `totals` adds them up, `exposition` writes them as text, and `metrics_pages`, in the folder
above, serves that.
"""
