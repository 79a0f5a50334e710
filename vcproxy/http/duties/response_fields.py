"""response_fields: fields of responses that are set, added and removed.

Tested in tests/http/duties/test_response_fields.py.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from vcproxy.http.duties.duty import Duty, DutyPhases
from vcproxy.http.duties.template import Template, TemplateValue
from vcproxy.http.option_texts import Token

if TYPE_CHECKING:
    from vcproxy.http.message.messages import Response
    from vcproxy.http.proxy.transaction import Transaction

OWN = frozenset(
    {
        "connection", "content-length", "keep-alive", "proxy-connection", "te", "trailer",
        "transfer-encoding", "upgrade", "via",
    }
)  # fmt: skip
"""Fields that the proxy itself writes, for framing and for the connection (RFC 9110, 7.6)."""


def check_names(names: Iterable[str], own: frozenset[str]) -> None:
    """Raise ValueError if a field may not be changed."""
    for name in names:
        if name.lower() in own:
            raise ValueError(f'"{name}" is written by the proxy itself and cannot be changed')


@dataclass(frozen=True)
class ResponseFieldEdits(Duty):
    """Fields of every response: of a server's, and of the proxy's own.

    They are removed first, then set, then added. Values may have variables: {client}, {host},
    {path}, {query}, {uri}, {method}, {scheme}, {request_id} and {user}.
    """

    set: dict[Token, TemplateValue] = field(default_factory=dict)
    """Fields that replace those of the same name."""

    add: dict[Token, TemplateValue] = field(default_factory=dict)
    """Fields that are added, beside those of the same name."""

    remove: tuple[Token, ...] = ()
    """Fields that are removed."""

    def __post_init__(self) -> None:
        check_names((*self.set, *self.add, *self.remove), OWN)

    def phases(self) -> ResponseFieldsPhases:
        """See Duty."""
        return ResponseFieldsPhases(self)


class ResponseFieldsPhases(DutyPhases):
    """Edits the fields of each response."""

    def __init__(self, options: ResponseFieldEdits) -> None:
        super().__init__(options)
        self._remove = options.remove
        self._set = [(name, Template(value)) for name, value in options.set.items()]
        self._add = [(name, Template(value)) for name, value in options.add.items()]

    def every_response(self, tx: Transaction, response: Response) -> None:
        """See Phases."""
        fields = response.fields
        for name in self._remove:
            fields.discard(name)
        for name, value in self._set:
            fields.discard(name)
            fields.add(name, value.fill(tx))
        for name, value in self._add:
            fields.add(name, value.fill(tx))
