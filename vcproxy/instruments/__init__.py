"""Instruments: counters and histograms of plugin authors."""
