"""Credentials of clients: the field that has them, and the files of users and of tokens."""
