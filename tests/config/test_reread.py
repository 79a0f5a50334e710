"""reread: only the files that options name are read again."""

from __future__ import annotations

from pathlib import Path

import pytest

from vcproxy.config.errors import ConfigError
from vcproxy.config.loader import Configuration, load
from vcproxy.config.reread import reread

TEXT = """
[[listener]]
name = "site"
bind = "tcp://127.0.0.1:0"
plugin = "http_proxy"
upstream = "site"
options.bearer.tokens = "all"
[[listener.options.routes]]
path = "/a"
bearer = { tokens = "some", realm = "a" }
[[listener.options.routes]]

[[listener]]
name = "other"
bind = "tcp://127.0.0.1:0"
plugin = "http_proxy"
upstream = "site"

[upstream.site]
servers = ["tcp://127.0.0.1:9"]
"""


@pytest.fixture
def loaded(tmp_path: Path) -> Configuration:
    (tmp_path / "proxy.toml").write_text(TEXT)
    (tmp_path / "all").write_text(f"a:{'a' * 16}\n")
    (tmp_path / "some").write_text(f"b:{'b' * 16}\n")
    return load(tmp_path / "proxy.toml")


def names(configuration: Configuration) -> list[set[str]]:
    options = configuration.plugins["site"].options
    places = [options, options.routes[0]]  # type: ignore[attr-defined]
    return [set(each.bearer.tokens.value.names.values()) for each in places]


def test_the_files_are_read_and_the_configuration_is_not(
    loaded: Configuration, tmp_path: Path
) -> None:
    assert set(loaded.contents) == {tmp_path / "all", tmp_path / "some"}
    assert not loaded.needs_reload()
    (tmp_path / "some").write_text(f"c:{'c' * 16}\n")
    (tmp_path / "proxy.toml").write_text("half an edit")
    assert loaded.needs_reload()
    again = reread(loaded)
    assert (names(loaded), names(again)) == ([{"a"}, {"b"}], [{"a"}, {"c"}])
    assert not again.needs_reload()
    assert again.plugins["other"] is loaded.plugins["other"]
    assert again.settings == loaded.settings
    site = again.plugins["site"].options
    assert site.routes[0].bearer.realm == "a"  # type: ignore[attr-defined]
    assert loaded.sources.keys() == again.sources.keys()
    assert any(b"c" * 16 in each for each in again.sources.values()), "for workers"
    assert not any(b"c" * 16 in each for each in again.masked.values())


def test_every_problem_is_told(loaded: Configuration, tmp_path: Path) -> None:
    (tmp_path / "all").write_text("broken\n")
    (tmp_path / "some").unlink()
    with pytest.raises(ConfigError) as caught:
        reread(loaded)
    assert {str(each) for each in caught.value.problems} == {
        f"{tmp_path}/proxy.toml: {tmp_path}/all: line 1: is not of the form NAME:TOKEN",
        f"{tmp_path}/proxy.toml: cannot read {tmp_path}/some: No such file or directory",
    }
