"""Framing: where one message of a stream ends and the next one begins."""
