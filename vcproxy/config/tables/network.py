"""Network: the type of a network in a configuration file, as "10.0.0.0/8".

Tested in tests/config/test_control.py.
"""

from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Annotated

from pydantic import PlainSerializer, PlainValidator, WithJsonSchema


def read_network(value: object) -> IPv4Network | IPv6Network:
    """Return a network. Raises ValueError."""
    try:
        return ip_network(str(value))
    except ValueError as error:
        raise ValueError(f'must be a network, as "10.0.0.0/8": {error}') from None


Network = Annotated[
    IPv4Network | IPv6Network,
    PlainValidator(read_network),
    PlainSerializer(str, when_used="json"),
    WithJsonSchema({"type": "string", "format": "network"}),
]
"""A network, or a single address."""
