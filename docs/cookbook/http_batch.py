"""http_batch: one request for many items becomes one request for each; one response has all items.

    [[listener]]
    name = "items"
    bind = "tcp://127.0.0.1:15324"
    plugin = "http_proxy"
    upstream = "shop"
    options.filters = ["http_batch.py"]
    [upstream.shop]
    servers = ["tcp://127.0.0.1:8080"]

`POST /items/batch` with the body `[1, 2]` sends requests for `/items/1` and `/items/2` at the same
time, without routes and filters. An item that is not available is null.
"""

import json

from vcproxy.api import Filter, Request, Response, Subrequests, Transaction, parse_json


class Batch(Filter):
    body_limit = "4KiB"

    def request_body(self, tx: Transaction, body: bytes) -> Subrequests | Response | None:
        if tx.request.path != "/items/batch":
            return None
        try:
            match parse_json(body):
                case list(items) if len(items) <= 50 and all(type(each) is int for each in items):
                    host = tx.request.host
                    return Subrequests(
                        [Request("GET", f"/items/{n}", host=host) for n in items], then=merge
                    )
        except ValueError:
            pass
        return Response(400, {}, b"the body must be a JSON list of at most 50 numbers\n")


def merge(tx: Transaction, answers: list[Response]) -> Response:
    body = json.dumps([item(each) for each in answers]).encode()
    return Response(200, {"Content-Type": "application/json"}, body)


def item(answer: Response) -> object:
    try:
        return parse_json(answer.content) if answer.status == 200 else None
    except ValueError:  # not JSON
        return None
