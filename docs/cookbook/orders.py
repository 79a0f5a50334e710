"""orders: a validator. Only orders with an id and an amount above 0 are forwarded to the server.

[[listener]]
name = "orders"
bind = "tcp://127.0.0.1:15300"
plugin = "orders.py"
upstream = "shop"
[upstream.shop]
servers = ["tcp://127.0.0.1:8080"]
"""

from vcproxy.api import Accept, Resend, Validator, Verdict, parse_json


class Orders(Validator):
    in_turn = True

    def check(self, message: bytes) -> Verdict:
        try:
            match parse_json(message):
                case {"id": str(), "amount": int(amount)} if amount > 0:
                    return Accept()
        except ValueError:
            return Resend(b"the message is not JSON\n")
        return Resend(b"an order has an id and an amount above 0\n")
