"""batch: a splitter. Many clients share one connection; the server answers many requests at once.

[[listener]]
name = "batch"
bind = "tcp://127.0.0.1:15301"
plugin = "batch.py"
upstream = "shop"
"""

import json
from collections.abc import Iterator

from vcproxy.business.options import parse_json
from vcproxy.business.sharing import Part
from vcproxy.business.splitter import Splitter
from vcproxy.business.verdict import Resend


class Batch(Splitter):
    def key(self, request: bytes) -> str | Resend:
        try:
            match parse_json(request):
                case {"id": str(key)}:
                    return key
        except ValueError:
            pass
        return Resend(b'{"error": "a request is JSON and has an id"}\n')

    def split(self, reply: bytes) -> Iterator[Part]:
        for answer in json.loads(reply):
            yield Part(answer["id"], json.dumps(answer).encode(), last=answer["done"])

    def unanswered(self, request: bytes, why: str) -> bytes:
        return json.dumps({"error": why}).encode()
