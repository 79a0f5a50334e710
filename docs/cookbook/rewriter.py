"""rewriter: add the client's address to each request, a JSON object in one line.

[[listener]]
name = "rewriter"
bind = "tcp://127.0.0.1:15306"
plugin = "rewriter.py"
upstream = "shop"
[upstream.shop]
servers = ["tcp://127.0.0.1:8080"]
"""

import json

from vcproxy.api import Accept, Reject, Validator, Verdict, json_lines, parse_json


class Rewriter(Validator):
    framing = json_lines()

    def check(self, message: bytes) -> Verdict:
        try:
            request = parse_json(message)
        except ValueError:
            return Reject(b'{"error": "not JSON"}\n')
        if not isinstance(request, dict):
            return Reject(b'{"error": "not an object"}\n')
        return Accept(json.dumps(request | {"from": self.client_address}).encode())
