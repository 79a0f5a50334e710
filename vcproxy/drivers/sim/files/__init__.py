"""The simulated file system, and its inotify."""
