"""Recordings for people: list, cut, redact, count. The commands `vcproxy log ...` use this.

A conversation is the set of VCs that share a mutex when they are created: a client and its server
connections, or the shared connections of a program. A log does not contain these sets, and of the
proxy's output it has digests only: so the log is replayed silently while it is read (`annotated`).
A log that was cut or redacted cannot always be replayed: its header lists the conversations.
"""
