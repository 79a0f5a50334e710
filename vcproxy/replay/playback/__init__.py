"""Playback: a recorded run, run again from its log alone."""
