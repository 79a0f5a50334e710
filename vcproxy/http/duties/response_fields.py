"""response_fields: fields of responses that are set, added and removed.

Tested in tests/http/duties/test_response_fields.py.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from vcproxy.http.duties.duty import DutyPhases, HeadEditPhases, Scheme
from vcproxy.http.duties.field_edits import FieldEdits, PreparedEdits
from vcproxy.http.duties.head_edits import HeadEdits

if TYPE_CHECKING:
    from vcproxy.http.message.messages import Response
    from vcproxy.http.proxy.transaction import Transaction


@dataclass(frozen=True)
class ResponseFieldEdits(FieldEdits):
    """Fields of every response to clients: of a server's, and of the proxy's own.

    They are removed first, then set, then added. Values may have variables: {client}, {host},
    {method}, {path}, {query}, {request_id}, {scheme}, {uri} and {user}, and of the client's
    certificate {certificate}, which is its subject, {certificate_fingerprint},
    {certificate_issuer}, {certificate_names} and {certificate_serial}.
    """

    written: ClassVar[frozenset[str]] = frozenset(
        {
            "connection", "content-length", "keep-alive", "proxy-connection", "te", "trailer",
            "transfer-encoding", "upgrade", "via",
        }
    )  # fmt: skip

    def head_edits(self, scheme: Scheme) -> HeadEdits | None:
        """See Duty: as long as no value has variables."""
        return HeadEdits(response_fields=self.edit()) if self.constant else None

    def phases(self) -> DutyPhases:
        """See Duty."""
        return HeadEditPhases(self) if self.constant else ResponseFieldsPhases(self)


class ResponseFieldsPhases(DutyPhases):
    """Changes the fields of each response, with values of the request."""

    def __init__(self, options: ResponseFieldEdits) -> None:
        super().__init__(options)
        self._edits = PreparedEdits(options)

    def every_response(self, tx: Transaction, response: Response) -> None:
        """See Phases."""
        self._edits.apply(response.fields, tx)
