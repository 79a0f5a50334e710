"""Playback: a recorded run repeated from its log alone."""
