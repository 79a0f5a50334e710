"""The effective configuration: all settings in effect, defaults included, as TOML.

Tested in tests/config/test_loader.py.
"""

import tomllib
from collections.abc import Iterator

import tomli_w

from vcproxy.config.loader import Configuration
from vcproxy.config.secret import shown
from vcproxy.engine.address import Address


def effective(configuration: Configuration) -> str:
    """Return all settings in effect as a configuration file.

    Logins in addresses and secrets are left out; a comment at the top names each.
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
    for name, plugin in configuration.plugins.items():
        for path in plugin.secrets:
            option = ".".join(map(str, ("listener", name, "options", *path)))
            comments.append(f"# {option}: this secret is not shown; see {configuration.file}\n")
    return "".join(comments) + tomli_w.dumps({key: shown(each) for key, each in tree.items()})


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
