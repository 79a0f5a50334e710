"""Logs of recordings, looked at and cut: what `vcproxy log` does.

A conversation is the VCs that share a mutex when they come to be: a client, and the servers that
were connected to for it; or what a program has connected to for all. A log does not say which
these are, and of what the proxy sent it holds digests: so a log is replayed, silently, while it is
looked at (`telling`). One that was cut or redacted cannot always be: its header says what belongs
to what.
"""
