"""shout: a transform. The client gets what the server sends in capitals.

[[listener]]
name = "shout"
bind = "tcp://127.0.0.1:15310"
plugin = "shout.py"
upstream = "shop"
[upstream.shop]
servers = ["tcp://127.0.0.1:8080"]
"""

from vcproxy.api import Forwarder


class Capitals:
    def feed(self, data: bytes) -> bytes:
        return data.upper()

    def finish(self) -> bytes:
        return b""


class Shout(Forwarder):
    def downward(self) -> Capitals:
        return Capitals()
