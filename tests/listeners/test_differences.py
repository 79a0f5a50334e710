"""What a reload has done with each listener and upstream."""

from __future__ import annotations

from pathlib import Path

import pytest

from vcproxy.config.errors import ConfigError
from vcproxy.config.loader import Configuration, load
from vcproxy.listeners.differences import LastReload

PLUGIN = "from vcproxy.api import Forwarder\n\n\nclass Front(Forwarder):\n    pass\n"


def written(folder: Path, listeners: str, upstreams: str = "", plugin: str = PLUGIN) -> Path:
    """Write a configuration with listeners "a:1 b:2", and upstreams in the same form."""
    file = folder / "proxy.toml"
    tables = []
    for each in listeners.split():
        name, port = each.split(":")
        tables.append(f'[[listener]]\nname = "{name}"\nbind = "tcp://127.0.0.1:{port}"')
        tables.append('plugin = "front.py"\nupstream = "u"')
    for each in upstreams.split():
        name, port = each.split(":")
        tables.append(f'[upstream.{name}]\nservers = ["tcp://127.0.0.1:{port}"]')
    (folder / "front.py").write_text(plugin)
    file.write_text("\n".join(tables))
    return file


def configuration(
    folder: Path, listeners: str, upstreams: str = "u:9", plugin: str = PLUGIN
) -> Configuration:
    return load(written(folder, listeners, upstreams, plugin))


def results(last: LastReload) -> dict[str, str]:
    return {f"{each['kind']} {each['name']}": each["result"] for each in last.rows()}


def test_each_listener_and_upstream_is_compared(tmp_path: Path) -> None:
    last = LastReload()
    assert last.rows() == []
    last.used(configuration(tmp_path, "a:8001 b:8002 c:8003", "u:9 v:10 w:11"))
    assert set(results(last).values()) == {"new", "used"}
    last.used(configuration(tmp_path, "a:8001 b:8005 d:8004", "u:9 v:12 x:13"))
    assert results(last) == {
        f"configuration {tmp_path / 'proxy.toml'}": "used",
        "listener a": "unchanged",
        "listener b": "changed",
        "listener c": "removed",
        "listener d": "new",
        "upstream u": "unchanged",
        "upstream v": "changed",
        "upstream w": "removed",
        "upstream x": "new",
    }
    assert {each["generation"] for each in last.rows()} == {2}


def test_changed_code_of_a_plugin_is_a_change(tmp_path: Path) -> None:
    last = LastReload()
    last.used(configuration(tmp_path, "a:8001"))
    last.used(configuration(tmp_path, "a:8001", plugin=PLUGIN + "    half = True\n"))
    assert results(last)["listener a"] == "changed"


def test_a_refused_configuration_names_what_was_wrong_with_each(tmp_path: Path) -> None:
    last = LastReload()
    last.used(configuration(tmp_path, "a:8001 ab:8002"))
    with pytest.raises(ConfigError) as refusal:
        load(written(tmp_path, "a:8001 ab:99999", "u:9"))
    last.refused(str(refusal.value))
    rows = {each["name"]: each for each in last.rows()}
    assert (rows["a"]["result"], rows["a"]["error"]) == ("kept", "")
    assert rows["ab"]["result"] == "kept"
    assert "listener.ab.bind" in rows["ab"]["error"]
    assert rows[str(tmp_path / "proxy.toml")]["error"] == str(refusal.value)
    assert rows["a"]["generation"] == 1
