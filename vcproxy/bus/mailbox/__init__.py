"""Mailbox: messages in datagrams, numbered, acknowledged and repeated (wink.md 2)."""
