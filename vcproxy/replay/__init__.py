"""Recordings: their format, recording, playback, the `log` commands, and "what if"."""
