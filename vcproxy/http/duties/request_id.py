"""request_id: an identifier for each request, in logs, for the server and for the client.

Tested in tests/http/duties/test_request_id.py.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from vcproxy.http.duties.duty import Duty, DutyPhases
from vcproxy.http.option_texts import OwnField

if TYPE_CHECKING:
    from vcproxy.http.message.messages import Response
    from vcproxy.http.proxy.transaction import Transaction

_usable = re.compile(r"[0-9A-Za-z._~+/=:-]{1,128}").fullmatch
"""Identifiers that are kept: no other character is needed, and none of these needs quotes."""


@dataclass(frozen=True)
class RequestId(Duty):
    """An identifier of 32 hexadecimal digits for each request, or the one that it came with.

    It is the variable {request_id}, the field `request_id` of the access log, and a field that the
    server and the client get.
    """

    field: OwnField = "X-Request-ID"
    """The name of the field."""

    keep: Literal["trusted", "always", "never"] = "trusted"
    """Whose identifier is kept, if the request has one of up to 128 letters, digits and ._~+/=:-
    "trusted": that of proxies in `trusted`; "always": that of every client, which may repeat one;
    "never": a new one is made."""

    to_server: bool = True
    """Whether the server gets it."""

    to_client: bool = True
    """Whether the client gets it with every response."""

    def phases(self) -> DutyPhases:
        """See Duty."""
        return RequestIdPhases(self)


class RequestIdPhases(DutyPhases):
    """Keeps or makes the identifiers."""

    options: RequestId

    def request_head(self, tx: Transaction) -> None:
        """See Phases."""
        options, fields = self.options, tx.request.fields
        given = None
        if options.keep == "always" or (options.keep == "trusted" and tx.trusted):
            given = fields.get(options.field)
        if given is None or not _usable(given):
            given = f"{self.engine.random.getrandbits(128):032x}"
        tx.request_id = given
        fields.discard(options.field)
        if options.to_server:
            tx.request.added += self._line(given)

    def every_response(self, tx: Transaction, response: Response) -> None:
        """See Phases."""
        if self.options.to_client:
            response.fields.discard(self.options.field)
            response.added += self._line(tx.request_id)

    def _line(self, identifier: str) -> bytes:
        return f"{self.options.field}: {identifier}\r\n".encode("latin-1")
