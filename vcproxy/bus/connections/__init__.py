"""Connections: messages over streams and datagrams.

`line_connection` carries lines over a connection, and `message_connection` messages;
`message_listener` accepts such connections, `permanent_connection` opens one again whenever it is
lost. `datagram_messages` is for UDP. `blocking_client` is for programs without an engine.
"""
