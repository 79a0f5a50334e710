"""No protocol is offered to clients that the plugin does not speak."""

from collections.abc import Callable
from pathlib import Path

import pytest
import trustme

from tests.docs.test_conf import FILES
from vcproxy.config.loader import Configuration
from vcproxy.config.plugin import Plugins, alpn_refused

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


def test_what_the_plugin_does_not_speak_is_refused(complaints: Callable[[str], list[str]]) -> None:
    assert complaints(LISTENER.format("Web")) == [
        'proxy.toml:5:55: listener.web.tls.alpn.0: Web does not speak "h2": leave it out, and '
        "clients that prefer it take another protocol"
    ]


def test_who_passes_bytes_on_speaks_anything(accepted: Callable[[str], Configuration]) -> None:
    accepted(LISTENER.format("Either"))


@pytest.mark.parametrize(
    ("plugin", "refused"),
    [
        *((name, True) for name in ("http_proxy", "page", "validate", "split")),
        *((name, False) for name in ("forward", "echo", "faults", "mirror", "relay")),
    ],
)
def test_the_bundled_plugins_say_whether_they_speak_http_2(plugin: str, refused: bool) -> None:
    assert ("h2" in alpn_refused(Plugins().find(plugin))) == refused


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_no_file_of_conf_suggests_http_2(file: Path) -> None:
    assert '"h2"' not in file.read_text()
