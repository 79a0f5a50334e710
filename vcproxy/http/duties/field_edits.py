"""FieldEdits: fields that are removed, set and added: `request_fields` and `response_fields`.

Tested in tests/http/duties/test_response_fields.py and test_request_fields.py.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar

from vcproxy.http.duties.duty import Duty
from vcproxy.http.duties.template import Template, TemplateValue
from vcproxy.http.option_texts import Token

if TYPE_CHECKING:
    from vcproxy.http.message.fields import Fields
    from vcproxy.http.proxy.transaction import Transaction


@dataclass(frozen=True)
class FieldEdits(Duty):
    """Fields that are removed first, then set, then added."""

    set: dict[Token, TemplateValue] = field(default_factory=dict)
    """Fields that replace those of the same name."""

    add: dict[Token, TemplateValue] = field(default_factory=dict)
    """Fields that are added, beside those of the same name."""

    remove: tuple[Token, ...] = ()
    """Fields that are removed."""

    written: ClassVar[frozenset[str]]
    """The names of fields, in lower case, that the proxy itself writes."""

    def __post_init__(self) -> None:
        for table in (self.set, self.add):
            names = [name.lower() for name in table]
            for name in table:
                if names.count(name.lower()) > 1:
                    raise ValueError(f'"{name}" is there twice: fields have no upper or lower case')
        for name in (*self.set, *self.add, *self.remove):
            if name.lower() in self.written:
                raise ValueError(f'"{name}" is written by the proxy itself')

    @property
    def constant(self) -> bool:
        """Whether no value has variables."""
        values = (*self.set.values(), *self.add.values())
        return all(Template(value).constant is not None for value in values)

    def edit(self) -> Callable[[Fields], None]:
        """Return the function that changes fields, if it is `constant`."""
        prepared = PreparedEdits(self)
        return prepared.apply_constant


class PreparedEdits:
    """FieldEdits with the templates of their values."""

    __slots__ = ("_add", "_remove", "_set")

    def __init__(self, edits: FieldEdits) -> None:
        self._remove = edits.remove
        self._set = [(name, Template(value)) for name, value in edits.set.items()]
        self._add = [(name, Template(value)) for name, value in edits.add.items()]

    def apply(self, fields: Fields, tx: Transaction) -> None:
        """Change the fields of a message of this transaction."""
        for name in self._remove:
            fields.discard(name)
        for name, value in self._set:
            fields.discard(name)
            fields.add(name, value.fill(tx))
        for name, value in self._add:
            fields.add(name, value.fill(tx))

    def apply_constant(self, fields: Fields) -> None:
        """Do what `apply` does, without variables."""
        for name in self._remove:
            fields.discard(name)
        for name, value in self._set:
            fields.discard(name)
            fields.add(name, value.constant or "")
        for name, value in self._add:
            fields.add(name, value.constant or "")
