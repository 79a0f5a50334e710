"""Framings: where one message of a byte stream ends and the next one begins."""
