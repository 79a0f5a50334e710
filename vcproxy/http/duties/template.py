"""Template: a text with variables in braces, as "https://{host}{uri}".

Tested in tests/http/duties/test_template.py.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Final

from pydantic import AfterValidator

from vcproxy.http.option_texts import Value

if TYPE_CHECKING:
    from vcproxy.http.proxy.transaction import Transaction

VARIABLES: Final[dict[str, Callable[[Transaction], str]]] = {
    "client": lambda tx: tx.client,
    "host": lambda tx: tx.request.hostname,
    "method": lambda tx: tx.request.method,
    "path": lambda tx: tx.request.origin_form.partition("?")[0],
    "query": lambda tx: tx.request.query,
    "request_id": lambda tx: tx.request_id,
    "scheme": lambda tx: "https" if tx.secure else "http",
    "uri": lambda tx: tx.request.origin_form,
    "user": lambda tx: tx.user,
}
"""What each variable is, of a transaction."""

_PARTS = re.compile(r"\{\{|\}\}|\{([^{}]*)\}|[{}]|[^{}]+")
_UNSENDABLE = re.compile("[^\t -~\xa0-\xff]")


class Template:
    """A text whose variables are filled in for each request. "{{" and "}}" are braces."""

    __slots__ = ("_parts", "constant")

    def __init__(self, text: str) -> None:
        """Raises ValueError for an unknown variable, or a brace without another."""
        parts: list[str | Callable[[Transaction], str]] = []
        for found in _PARTS.finditer(text):
            part, name = found[0], found[1]
            if name is not None:
                if name not in VARIABLES:
                    known = ", ".join(f"{{{each}}}" for each in VARIABLES)
                    raise ValueError(f"{part} is not a variable: there are {known}")
                parts.append(VARIABLES[name])
            elif part in ("{", "}"):
                raise ValueError(f'a "{part}" without its other brace: write "{part}{part}"')
            else:
                parts.append(part[:1] if part in ("{{", "}}") else part)
        self._parts = tuple(parts)
        self.constant: str | None = None
        """The text, if it has no variables."""
        if all(isinstance(each, str) for each in parts):
            self.constant = "".join(map(str, parts))

    def fill(self, tx: Transaction) -> str:
        """Return the text for a request, fit for the value of a field: a character that is not is
        replaced by "?"."""
        if self.constant is not None:
            return self.constant
        text = "".join(each if isinstance(each, str) else each(tx) for each in self._parts)
        return _UNSENDABLE.sub("?", text).strip(" \t")


def _template(text: str) -> str:
    Template(text)
    return text


TemplateValue = Annotated[Value, AfterValidator(_template)]
"""The value of a field, with variables: see Template."""
