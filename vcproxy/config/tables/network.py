"""Network: the type of a network in a configuration file, as "10.0.0.0/8".

Tested in tests/config/test_control.py.
"""

from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Annotated

from pydantic import PlainSerializer, PlainValidator, WithJsonSchema


def read_network(value: object) -> IPv4Network | IPv6Network:
    """Return a network: that of IPv4 for IPv4-mapped IPv6 addresses (RFC 4291 2.5.5.2), since the
    addresses of clients are IPv4 then too. Raises ValueError."""
    try:
        network = ip_network(str(value))
    except ValueError as error:
        raise ValueError(f'must be a network, as "10.0.0.0/8": {error}') from None
    if network.version == 6 and network.prefixlen >= 96:
        mapped = network.network_address.ipv4_mapped
        if mapped is not None:
            return IPv4Network((mapped, network.prefixlen - 96))
    return network


Network = Annotated[
    IPv4Network | IPv6Network,
    PlainValidator(read_network),
    PlainSerializer(str, when_used="json"),
    WithJsonSchema({"type": "string", "format": "network"}),
]
"""A network, or a single address."""
