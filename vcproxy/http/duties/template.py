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
    from vcproxy.http.duties.duty import Scheme
    from vcproxy.http.message.messages import Request
    from vcproxy.http.proxy.transaction import Transaction


def _of_certificate(tx: Transaction, part: str) -> str:
    """Return a part of the client's certificate, in ASCII; "": it has presented none.

    Two different subjects never become the same text: all other characters are escaped as in RFC
    4514, 2.4, and so are commas in names.
    """
    value = getattr(tx.client_certificate, part, "")
    if not isinstance(value, str):
        value = ",".join(each.replace("\\", r"\5C").replace(",", r"\2C") for each in value)
    return value if value.isascii() else _NOT_ASCII.sub(_hex_pairs, value)


def _hex_pairs(found: re.Match[str]) -> str:
    return "".join(f"\\{each:02X}" for each in found[0].encode())


OF_HEAD: Final[dict[str, Callable[[Request, Scheme], str]]] = {
    "host": lambda request, scheme: _uri_host(request.hostname),
    "method": lambda request, scheme: request.method,
    "path": lambda request, scheme: request.origin_form.partition("?")[0],
    "query": lambda request, scheme: request.query,
    "scheme": lambda request, scheme: scheme,
    "uri": lambda request, scheme: request.origin_form,
}
"""The variables that depend on the head of a request only."""

OF_TRANSACTION: Final[dict[str, Callable[[Transaction], str]]] = {
    "certificate": lambda tx: _of_certificate(tx, "subject"),
    "certificate_fingerprint": lambda tx: _of_certificate(tx, "fingerprint"),
    "certificate_issuer": lambda tx: _of_certificate(tx, "issuer"),
    "certificate_names": lambda tx: _of_certificate(tx, "names"),
    "certificate_serial": lambda tx: _of_certificate(tx, "serial"),
    "client": lambda tx: tx.client,
    "request_id": lambda tx: tx.request_id,
    "user": lambda tx: tx.user.encode().decode("latin-1"),  # as `user_field`: its bytes in UTF-8
}
"""The others."""

_PARTS = re.compile(r"\{\{|\}\}|\{([^{}]*)\}|[{}]|[^{}]+")
_NOT_ASCII = re.compile(r"[^\x00-\x7f]+")
_UNSENDABLE = re.compile("[^\t -~\x80-\xff]")


class Template:
    """A text whose variables are filled in for each request. "{{" and "}}" are braces."""

    __slots__ = ("_parts", "constant", "of_head")

    def __init__(self, text: str) -> None:
        """Raises ValueError for an unknown variable, or a brace without another."""
        parts: list[tuple[str, bool]] = []
        for found in _PARTS.finditer(text):
            part, name = found[0], found[1]
            if name is not None:
                if name not in OF_HEAD and name not in OF_TRANSACTION:
                    known = ", ".join(f"{{{each}}}" for each in sorted({*OF_HEAD, *OF_TRANSACTION}))
                    raise ValueError(f"{part} is not a variable: there are {known}")
                parts.append((name, True))
            elif part in ("{", "}"):
                raise ValueError(f'a "{part}" without its other brace: write "{part}{part}"')
            else:
                parts.append((part[:1] if part in ("{{", "}}") else part, False))
        self._parts = tuple(parts)
        variables = {text for text, variable in parts if variable}
        self.constant: str | None = None if variables else "".join(text for text, _ in parts)
        """The text, if it has no variables."""
        self.of_head = variables.issubset(OF_HEAD)
        """Whether it depends on the head of a request only."""

    def fill(self, tx: Transaction) -> str:
        """Return the text for a request, fit for the value of a field: a character that is not is
        replaced by "?"."""
        if self.constant is not None:
            return self.constant
        return self.fill_head(tx.request, tx.scheme, tx)

    def fill_head(self, request: Request, scheme: Scheme, tx: Transaction | None = None) -> str:
        """Do what `fill` does, for a template that depends on the head only."""
        text = ""
        for part, variable in self._parts:
            if not variable:
                text += part
            elif part in OF_HEAD:
                text += OF_HEAD[part](request, scheme)
            else:
                assert tx is not None
                text += OF_TRANSACTION[part](tx)
        return _UNSENDABLE.sub("?", text).strip(" \t")


def _uri_host(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _template(text: str) -> str:
    Template(text)
    return text


TemplateValue = Annotated[Value, AfterValidator(_template)]
"""The value of a field, with variables: see Template."""
