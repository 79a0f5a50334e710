"""dns_tcp: DNS over TCP.

Tested in tests/framing/test_kinds.py.
"""

from __future__ import annotations

from vcproxy.framing.framing import Framing, length_prefix


def dns_tcp() -> Framing:
    """Return the framing of DNS over TCP: the length in two bytes, then the DNS message.

    A message is the DNS message without the length, as in a datagram of UDP; at most 65,535 bytes.
    Source: RFC 1035, 4.2.2.
    """
    return length_prefix(2)
