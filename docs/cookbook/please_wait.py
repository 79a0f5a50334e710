"""please_wait: answer the client at once that its request is being processed.

[[listener]]
name = "patience"
bind = "tcp://127.0.0.1:15308"
plugin = "please_wait.py"
upstream = "shop"
[upstream.shop]
servers = ["tcp://127.0.0.1:8080"]
"""

from vcproxy.api import Accept, Validator, Verdict, lines


class PleaseWait(Validator):
    replies = lines()  # so that no answer falls inside a reply

    def check(self, message: bytes) -> Verdict:
        return Accept(wait=b"please wait\n")
