"""Plugins that work on messages: validators check them, splitters share one server connection."""
