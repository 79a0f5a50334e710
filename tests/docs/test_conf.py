"""The configurations of conf/: they load without changes, and proxy.toml explains every key."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest
import tomli_w
import trustme

from vcproxy.config.loader import load
from vcproxy.config.options import read_options
from vcproxy.config.plugin_loader import PluginLoader
from vcproxy.config.reference import reference

CONF = Path(__file__).parents[2] / "conf"
FILES = sorted(CONF.glob("*.toml"))

HTTP = read_options(PluginLoader().find("http_proxy"), {}, CONF)[1]
"""The options of http_proxy, at their defaults."""

ROWS = re.findall(r"^\| `(\w+)` \| .*? \| (?:`(.*?)`)?", reference(), re.MULTILINE)
"""Key and default of every entry in the reference of the configuration."""


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_configuration_loads(file: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copy(file, tmp_path))
    issued = trustme.CA().issue_cert("localhost")
    issued.private_key_pem.write_to_path(tmp_path / "server.key")
    issued.cert_chain_pems[0].write_to_path(tmp_path / "server.pem")
    load(copy)


@pytest.mark.parametrize(("key", "default"), ROWS)
def test_the_default_shows_every_key_at_its_default(key: str, default: str) -> None:
    text = (CONF / "proxy.toml").read_text()
    shown = rf"^(# )?({key} = |\[.*\b{key}\b.*\])"
    if default:
        shown = rf"^# {key} = {re.escape(default)}( |$)"
    assert re.search(shown, text, re.MULTILINE), f"it does not show {key} = {default}"


@pytest.mark.parametrize("table", ["", "limits", "timeouts"])
def test_the_reverse_proxy_shows_every_option_at_its_default(table: str) -> None:
    text = (CONF / "http-reverse.toml").read_text()
    options = HTTP[table] if table else HTTP
    assert isinstance(options, dict)
    assert len(options) > 4
    for key, default in options.items():
        if not isinstance(default, dict) and key != "routes":
            shown = f"\n# {key} = {tomli_w.dumps({'_': default})[4:].strip()} "
            assert shown in text, f"it does not show{shown}"
