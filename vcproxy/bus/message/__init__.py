"""Message: a command with parameters, in one line of text or JSON (eventdispatcher.md 1 and 2).

`bus_message` is the value, `text_form` and `json_form` are its two forms, `parameter_values` the
types of parameters. `definitions` says which parameters a command has, and `secret_code` which
messages a server of datagrams takes. Nothing here does I/O.
"""
