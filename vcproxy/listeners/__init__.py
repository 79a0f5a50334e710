"""Listeners: bind the addresses, and give each connection to its plugin."""
