"""A listener must not offer a protocol by ALPN that its plugin does not support."""

from collections.abc import Callable
from pathlib import Path

import pytest
import trustme

from tests.docs.test_conf import FILES
from vcproxy.config.loader import Configuration
from vcproxy.config.plugin import alpn_refused
from vcproxy.config.plugin_loader import PluginLoader

LISTENER = """\
[[listener]]
name = "web"
bind = "tls://127.0.0.1:0"
plugin = "own.py:{}"
tls = {{ certificate = "a.pem", key = "a.key", alpn = ["h2", "http/1.1"] }}
"""


@pytest.fixture(autouse=True)
def certificate(folder: Path, authority: trustme.CA) -> None:
    issued = authority.issue_cert("localhost")
    issued.private_key_pem.write_to_path(folder / "a.key")
    issued.cert_chain_pems[0].write_to_path(folder / "a.pem")


def test_a_protocol_that_the_plugin_does_not_support_is_refused(
    complaints: Callable[[str], list[str]],
) -> None:
    assert complaints(LISTENER.format("Web")) == [
        'proxy.toml:5:55: listener.web.tls.alpn.0: Web does not support "h2": remove it, and '
        "clients use another protocol"
    ]


def test_a_plugin_that_forwards_bytes_supports_every_protocol(
    accepted: Callable[[str], Configuration],
) -> None:
    accepted(LISTENER.format("Either"))


@pytest.mark.parametrize(
    ("plugin", "refused"),
    [
        *((name, True) for name in ("http_proxy", "page", "validate", "split")),
        *((name, False) for name in ("forward", "echo", "faults", "mirror", "relay")),
    ],
)
def test_which_bundled_plugins_support_http_2(plugin: str, refused: bool) -> None:
    assert ("h2" in alpn_refused(PluginLoader().find(plugin))) == refused


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_no_file_of_conf_offers_http_2(file: Path) -> None:
    assert '"h2"' not in file.read_text()
