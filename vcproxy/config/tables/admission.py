"""The tables of admission: allow, deny and [[listener.rate]].

Tested in tests/config/test_admission.py.
"""

import re
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, Field

from vcproxy.config.errors import did_you_mean
from vcproxy.config.values import Duration, Table, listed, positive


def _for_each(text: str) -> str:
    length = re.fullmatch(r"/([0-9]{1,2})", text)
    if text in ("client", "listener") or (length is not None and int(length[1]) <= 32):
        return text
    hint = did_you_mean(text, ["client", "listener"])
    known = '"client", "listener" or a length from "/0" to "/32"'
    raise ValueError(f'must be {known}, not "{text}"{hint}')


class RateTable(Table):
    """How often something may happen for each client. At tcp://, tls:// and unix:// connections are
    counted, with http_proxy requests instead; at udp:// datagrams."""

    for_each: Annotated[str, AfterValidator(_for_each)] = "client"
    """Who is counted together. "client": an IPv4 address, or an IPv6 /64, which is the least that a
    subscriber gets. "/24": the IPv4 networks of this length, and the IPv6 networks of twice this
    length. "listener": all clients."""

    requests: Annotated[int, Field(ge=1)]
    """How many connections, requests or datagrams are admitted in the time `per`."""

    per: Annotated[Duration, AfterValidator(positive)] = 1.0
    """The time for `requests`."""

    burst: Annotated[int, Field(ge=1)] | None = None
    """How many are admitted at once after a time without any. Absent: as many as `requests`."""


Rates = Annotated[tuple[RateTable, ...], BeforeValidator(listed)]
