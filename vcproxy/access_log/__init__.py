"""The access log: one record for each session and request.

A record has the fields of `fields.FIELDS`. It is written as a line by a `Pattern`, which a format
of the configuration is compiled to, and the line is passed to the `AccessLog` of the listener on
the engine. A `SessionRecord` follows one accepted connection and writes its record when it closes.
"""
