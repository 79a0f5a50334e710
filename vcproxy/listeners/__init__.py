"""Listeners: bind the addresses, and give each connection to its plugin. What a service manager
gives and gets."""
