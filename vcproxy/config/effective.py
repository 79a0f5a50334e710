"""The effective configuration: all settings in effect, defaults included, as TOML.

Tested in tests/config/test_loader.py.
"""

import json
from collections.abc import Iterator
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, TypeAlias

from vcproxy.config.loader import Configuration
from vcproxy.config.positions import KeyPath
from vcproxy.config.secret import shown
from vcproxy.config.secret_texts import secrets
from vcproxy.config.ways import in_words
from vcproxy.engine.address import Address

if TYPE_CHECKING:
    from vcproxy.config.variables import FromFiles

Place: TypeAlias = tuple[str, str, str]
"""A table, the name of a listener or an upstream, "" in other tables, and the key with dots."""


def effective(configuration: Configuration) -> str:
    """Return all settings in effect as one configuration file.

    Logins in addresses and secrets are left out; a comment at the top names each. Other comments
    there show what requests pass in which order. In place of what comes from files there is
    `${file:PATH}`, as in the configuration.
    """
    import tomli_w

    documents = configuration.documents
    addresses = [each for document in documents.all for each in _logins(document.tree)]
    comments = [
        f"# {address}: the login of this address is not shown; it is in {configuration.file}\n"
        for address in dict.fromkeys(addresses)
    ]
    written = _written(configuration)
    for path, secret in secrets(configuration).items():
        if path not in written:
            option = ".".join(map(str, _named(configuration, path)))
            file = secret.source[0] if secret.source else configuration.file
            comments.append(f"# {option}: this secret is not shown; see {file}\n")
    ways = {
        each.name: (configuration.plugins[each.name], each.upstream)
        for each in configuration.settings.listener
    }
    comments += [f"# {line}\n" for line in in_words(ways)]
    return "".join(comments) + tomli_w.dumps(effective_tree(configuration))


def effective_tree(configuration: Configuration) -> dict[str, Any]:
    """Return all settings in effect as tables, without secrets and what comes from files."""
    tree = _complete(configuration)
    for path, each in _written(configuration).items():
        _write(tree, path, each)
    return {key: shown(each) for key, each in tree.items()}


def flat_settings(configuration: Configuration, *, hidden: bool) -> dict[Place, str]:
    """Return the value of each key in effect, as JSON, for a comparison.

    That of a plugin's name has a digest of its code, so that another code is another value.
    `hidden`: without secrets and what comes from files, for others. Else a secret has a fingerprint
    in its place.
    """
    tree = effective_tree(configuration) if hidden else _complete(configuration)
    found: dict[Place, str] = {}
    for table, content in tree.items():
        if table == "listener":
            tables = [(each["name"], each) for each in content]
        else:
            tables = list(content.items()) if table == "upstream" else [("", content)]
        for name, each in tables:
            for key, value in _leaves(each, ""):
                found[table, name, key] = json.dumps(value, ensure_ascii=False)
    for name, plugin in configuration.plugins.items():
        digest = blake2b(repr(sorted(plugin.code.items())).encode(), digest_size=4).hexdigest()
        found["listener", name, "plugin"] += f" with code {digest}"
    return found


def _leaves(table: dict[str, Any], before: str) -> Iterator[tuple[str, Any]]:
    """Yield the keys of a table and those below it, with dots, and their values."""
    for key, value in table.items():
        if isinstance(value, dict) and value:
            yield from _leaves(value, f"{before}{key}.")
        else:
            yield f"{before}{key}", value


def _complete(configuration: Configuration) -> dict[str, Any]:
    settings = configuration.settings
    tree = settings.model_dump(mode="json", by_alias=True, exclude_none=True, exclude={"include"})
    for name, upstream in settings.upstream.items():
        if not any(address.secure for address in upstream.addresses):
            del tree["upstream"][name]["tls"]  # no server uses TLS: `vcproxy -t` would reject it
    return tree


def _written(configuration: Configuration) -> "dict[KeyPath, FromFiles]":
    """Return the texts with contents of files, by their paths in the whole configuration."""
    documents = configuration.documents
    return {
        documents.whole(number, path): each
        for number, document in enumerate(documents.all)
        for path, each in document.from_files.items()
    }


def _named(configuration: Configuration, path: KeyPath) -> KeyPath:
    """Return a path with the name of a listener in place of its index."""
    match path:
        case ("listener", int(index), *rest):
            return ("listener", configuration.settings.listener[index].name, *rest)
    return path


def _write(tree: Any, path: KeyPath, text: "FromFiles") -> None:
    """Put a text back as it is written, at its path, or in what its table has become."""
    for part in path:
        try:
            value = tree[part]
        except (KeyError, IndexError, TypeError):
            break
        if not isinstance(value, dict | list):
            tree[part] = text.written
            return
        tree = value
    _hide(tree, text)


def _hide(table: Any, text: "FromFiles") -> None:
    """Replace the contents of files in all texts of a table."""
    for key, value in table.items() if isinstance(table, dict) else enumerate(table):
        if isinstance(value, dict | list):
            _hide(value, text)
        elif isinstance(value, str):
            table[key] = text.hide(value)


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
