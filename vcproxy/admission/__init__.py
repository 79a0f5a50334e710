"""Admission: which clients a listener serves, and how often."""
