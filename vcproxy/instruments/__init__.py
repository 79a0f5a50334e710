"""Instruments: counters, gauges and histograms, of plugin authors and of the proxy itself.

`instrument` has what all of them share: the declaration, and the values on one engine. Nothing here
formats or collects: see vcproxy/control/metrics.
"""
