"""Bus: how processes send each other messages.

`mailbox` makes datagrams reliable. `message` is a message of one line: its grammar, definitions and
checks. `dispatch` calls the function for a message, and `connections` transmit them.
"""
