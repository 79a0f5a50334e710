"""Which certificates in use should be renewed. It is logged once a day.

At a start and a reload, they are reported with the other warnings about the configuration; here
those in use are: the files may be others already, and refused. Tested in
tests/app/test_certificate_expiry.py.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from vcproxy.drivers.certificate_validity import unfit

if TYPE_CHECKING:
    from vcproxy.listeners.tls_contexts import TlsContext


def to_renew(contexts: Iterable[TlsContext], now: float) -> Iterator[str]:
    """Yield a line for each certificate that should be renewed; `now`: seconds since 1970."""
    for context in contexts:
        for path in context.presented:
            facts = context.certificates.get(path)
            if facts is not None and (why := unfit(facts.not_before, facts.not_after, now)):
                yield f"{context.name}: the certificate {path} {why}"
