"""http_headers: set or remove fields of requests and responses.

[[listener]]
name = "site"
bind = "tcp://127.0.0.1:15320"
plugin = "http_proxy"
upstream = "shop"
options.filters = [{ plugin = "http_headers.py", options.response = { Server = "" } }]
[upstream.shop]
servers = ["tcp://127.0.0.1:8080"]
"""

from dataclasses import dataclass, field

from vcproxy.api import Fields, Filter, Transaction


class Headers(Filter):
    @dataclass(frozen=True)
    class Options:
        request: dict[str, str] = field(default_factory=dict)
        """Fields to set in requests; "" removes one."""
        response: dict[str, str] = field(default_factory=dict)
        """Fields to set in responses; "" removes one."""

    options: Options

    def request_head(self, tx: Transaction) -> None:
        rewrite(tx.request.fields, self.options.request)

    def response_head(self, tx: Transaction) -> None:
        rewrite(tx.response.fields, self.options.response)


def rewrite(fields: Fields, wanted: dict[str, str]) -> None:
    for name, value in wanted.items():
        if value:
            fields[name] = value
        else:
            fields.discard(name)
