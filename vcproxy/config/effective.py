"""The effective configuration: all settings in effect, defaults included, as TOML.

Tested in tests/config/test_loader.py.
"""

import tomllib
from collections.abc import Iterator

import tomli_w

from vcproxy.config.loader import Configuration
from vcproxy.engine.address import Address


def effective(configuration: Configuration) -> str:
    """Return all settings in effect as a configuration file.

    Logins in addresses are left out; a comment at the top names each such address.
    """
    settings = configuration.settings
    tree = settings.model_dump(mode="json", by_alias=True, exclude_none=True)
    for name, upstream in settings.upstream.items():
        if not any(address.secure for address in upstream.addresses):
            del tree["upstream"][name]["tls"]  # no server uses TLS: `vcproxy -t` would reject it
    comments = [
        f"# {address}: the login of this address is not shown; it is in {configuration.file}\n"
        for address in dict.fromkeys(_logins(tomllib.loads(configuration.text)))
    ]
    return "".join(comments) + tomli_w.dumps(tree)


def _logins(value: object) -> Iterator[Address]:
    """Yield the addresses in a file that contain a user, a password or a token."""
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        for each in value:
            yield from _logins(each)
    elif isinstance(value, str) and value.startswith("nats:"):
        try:
            address = Address.parse(value)
        except ValueError:
            return  # a text that begins like an address, but is not one
        if address.user:
            yield address
