"""batch: a splitter. Many clients share one server connection, and one reply answers many requests.

[[listener]]
name = "batch"
bind = "tcp://127.0.0.1:15301"
plugin = "batch.py"
upstream = "shop"
[upstream.shop]
servers = ["tcp://127.0.0.1:8080"]
"""

import json
from collections.abc import Iterator

from vcproxy.api import Part, Resend, Splitter, parse_json


def parsed(text: bytes) -> object:
    try:
        return parse_json(text)
    except ValueError:
        return None


class Batch(Splitter):
    def key(self, request: bytes) -> str | Resend:
        match parsed(request):
            case {"id": str(key)}:
                return key
        return Resend(b'{"error": "a request is JSON and has an id"}\n')

    @classmethod
    def split(cls, reply: bytes, options: object) -> Iterator[Part]:
        answers = parsed(reply)
        for answer in answers if isinstance(answers, list) else []:
            match answer:
                case {"id": str(key), "done": bool(done)}:
                    yield Part(key, json.dumps(answer).encode(), last=done)

    def unanswered(self, request: bytes, why: str) -> bytes:
        return json.dumps({"error": why}).encode()
