"""Tools for recordings: list, cut, redact, count. The commands `vcproxy log ...` use them.

A conversation is the set of VCs that share a mutex when they are created: a client and its server
connections, or the shared connections of a program. A log does not contain these sets, and it
contains only digests of the proxy's output. To find both, the log is replayed while it is read
(`annotated`). A log that was cut or redacted cannot always be replayed, so its header lists the
conversations.
"""
