"""Listeners: which addresses are bound, and which plugin serves each connection."""
