"""audit: log every request, without its secrets.

[[listener]]
name = "audit"
bind = "tcp://127.0.0.1:15313"
plugin = "audit.py"
upstream = "shop"
[upstream.shop]
servers = ["tcp://127.0.0.1:8080"]
"""

import json
from typing import Any

from vcproxy.api import Accept, Reject, Validator, Verdict, json_lines

SECRET = {"password", "token", "card"}


def redacted(members: dict[str, Any]) -> dict[str, Any]:
    return {key: "***" if key in SECRET else value for key, value in members.items()}


class Audit(Validator):
    framing = json_lines()

    def check(self, message: bytes) -> Verdict:
        try:
            self.log(json.dumps(json.loads(message, object_hook=redacted)))
        except ValueError:
            return Reject(b'{"error": "not JSON"}\n')
        return Accept()
