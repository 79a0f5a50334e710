"""The dispatcher: which callback receives which message of the bus."""
