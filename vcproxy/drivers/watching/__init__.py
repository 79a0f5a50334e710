"""Watching files: what the kernel's inotify and the simulated one have in common."""
