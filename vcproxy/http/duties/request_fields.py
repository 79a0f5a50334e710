"""request_fields: fields of requests that are set, added and removed before a server gets them.

Tested in tests/http/duties/test_request_fields.py.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from vcproxy.http.duties.duty import DutyPhases, HeadEditPhases, Scheme
from vcproxy.http.duties.field_edits import FieldEdits, PreparedEdits
from vcproxy.http.duties.head_edits import HeadEdits
from vcproxy.http.duties.refusal import refusal
from vcproxy.http.duties.template import Template
from vcproxy.http.message.grammar import authority
from vcproxy.http.option_texts import WRITTEN, latin

if TYPE_CHECKING:
    from vcproxy.http.message.messages import Response
    from vcproxy.http.proxy.transaction import Transaction


@dataclass(frozen=True)
class RequestFieldEdits(FieldEdits):
    """Fields of requests, changed before a server gets them.

    They are removed first, then set, then added. Values may have variables: {client}, {host},
    {method}, {path}, {query}, {request_id}, {scheme}, {uri} and {user}, and of the client's
    certificate {certificate}, which is its subject, {certificate_fingerprint},
    {certificate_issuer}, {certificate_names} and {certificate_serial}. Host may be set. What the
    proxy writes itself cannot be changed: see the options `forwarded` and `via`.
    """

    written: ClassVar[frozenset[str]] = WRITTEN

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in (*self.set, *self.add, *self.remove):
            if name.lower().startswith("x-forwarded-"):
                raise ValueError(f'"{name}": such fields are written as `forwarded` configures')
            if "_" in name:
                twin = name.replace("_", "-")
                raise ValueError(
                    f'"{name}": servers may take it for "{twin}", so fields with "_" are not set'
                )
        for name in (*self.add, *self.remove):
            if name.lower() == "host":
                raise ValueError("Host can only be set: a request has exactly one")
        for name, value in self.set.items():
            fixed = Template(value).constant
            if name.lower() == "host" and fixed is not None and authority(fixed.encode()) is None:
                raise ValueError(f'"{value}" is not a host: write a name, with a port if needed')

    def head_edits(self, scheme: Scheme) -> HeadEdits | None:
        """See Duty: as long as no value has variables."""
        return HeadEdits(request_fields=self.edit()) if self.constant else None

    def phases(self) -> DutyPhases:
        """See Duty."""
        return HeadEditPhases(self) if self.constant else RequestFieldsPhases(self)


class RequestFieldsPhases(DutyPhases):
    """Changes the fields of each request, with values of the request."""

    def __init__(self, options: RequestFieldEdits) -> None:
        super().__init__(options)
        self._edits = PreparedEdits(options)
        self._sets_host = any(name.lower() == "host" for name in options.set)

    def request_head(self, tx: Transaction) -> Response | None:
        """See Phases: a request of which no valid Host can be made is refused."""
        fields = tx.request.fields
        if tx.request.form not in ("authority", "asterisk"):
            self._edits.apply(fields, tx)
            if self._sets_host and not authority(latin(fields.get("Host", ""))):
                return refusal(400, "request_fields: no valid Host for the server")
        return None
