"""Bus: how processes send each other messages. The mailbox makes datagrams reliable."""
