"""Logs: the log of the program and the access logs, each written by a thread of its own."""
