"""A filter that has little to do: one field of every request, and one of every answer."""

from vcproxy.api import Filter, Transaction


class Heads(Filter):
    def request_head(self, tx: Transaction) -> None:
        tx.request.fields["X-Bench"] = "request"

    def response_head(self, tx: Transaction) -> None:
        assert tx.response
        tx.response.fields["X-Bench"] = "answer"
