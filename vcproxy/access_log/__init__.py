"""The access log: one record for each session and request."""
