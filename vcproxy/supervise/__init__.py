"""Supervise: processes that are machines, their lifecycle, and who starts them again."""
