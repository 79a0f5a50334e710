"""Protocols: what the messages of a protocol say, as values: headers, answers, checks. No I/O."""
