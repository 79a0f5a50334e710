"""http_json: only orders with an id and an amount above 0 are forwarded to the server.

[[listener]]
name = "orders"
bind = "tcp://127.0.0.1:15322"
plugin = "http_proxy"
upstream = "shop"
options.filters = ["http_json.py"]
[upstream.shop]
servers = ["tcp://127.0.0.1:8080"]
"""

from vcproxy.api import Filter, Response, Transaction, parse_json


class Orders(Filter):
    body_limit = "64KiB"

    def request_body(self, tx: Transaction, body: bytes) -> Response | None:
        if not body and tx.request.method in ("GET", "HEAD"):
            return None
        try:
            match parse_json(body):
                case {"id": str(), "amount": int(amount)} if amount > 0:
                    return None
        except ValueError:
            return refusal("the body is not JSON")
        return refusal("an order has an id and an amount above 0")


def refusal(why: str) -> Response:
    return Response(400, {"Content-Type": "text/plain"}, f"{why}\n".encode())
