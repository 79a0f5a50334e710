"""The JSON Schema accepts every configuration of the project, and marks mistakes."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft7Validator

from tests.docs.pages import PAGES, ROOT, blocks, name
from vcproxy.config.json_schema import bundled_plugins, json_schema

LISTENER = '[[listener]]\nname = "a"\nbind = "tcp://127.0.0.1:1"\nplugin = "forward"\n'


@cache
def _schema() -> dict[str, Any]:
    return json_schema()


def _wrong(text: str, schema: dict[str, Any] | None = None) -> list[str]:
    """Return the paths of what an editor would mark."""
    validator = Draft7Validator(schema or _schema())
    found = validator.iter_errors(tomllib.loads(text))
    return [".".join(map(str, each.absolute_path)) for each in found]


def test_it_is_a_schema() -> None:
    Draft7Validator.check_schema(_schema())


@pytest.mark.parametrize("file", sorted((ROOT / "conf").glob("*.toml")), ids=name)
def test_the_configurations_of_conf_are_accepted(file: Path) -> None:
    assert _wrong(file.read_text()) == []


@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page, "toml")], ids=name)
def test_the_configurations_of_pages_are_accepted(page: Path) -> None:
    for block in blocks(page, "toml"):
        assert _wrong(block.text) == [], block.text


@pytest.mark.parametrize(
    "text",
    [
        "access_log = false",
        'access_log = { format = "line" }',
        'bind = ["tcp://127.0.0.1:1"]',
        'proxy_protocol = { from = "10.0.0.0/8" }',
        "rate = { requests = 5 }",
        "half_close = '${HALF}'",
        "limits = { max_connections = '${MOST}' }",
        'timeouts = { connect = "5s" }',
    ],
)
def test_short_forms_and_variables(text: str) -> None:
    given = LISTENER if "bind" not in text else LISTENER.replace("bind", "#")
    assert _wrong(given + text) == []


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("[proxy]\nworker = 1", "proxy"),
        ("[proxy]\nworkers = 'some'", "proxy.workers"),
        ("[proxy]\nnet_threads = 'x'", "proxy.net_threads"),
        ("[proxy]\ndrain_timeout = 5", "proxy.drain_timeout"),
        ("[upstream.a]\nservers = []\nbalance = 'robin'", "upstream.a.balance"),
        ("[upstream.a]\nserver = []", "upstream.a"),
        ("[[listener]]\nplugin = 'echo'", "listener.0"),
        (f"{LISTENER}half_close = 1", "listener.0.half_close"),
        (
            f"{LISTENER.replace('forward', 'http_proxy')}options.max_heads = 5",
            "listener.0.options",
        ),
    ],
)
def test_mistakes(text: str, path: str) -> None:
    assert path in _wrong(text)


def test_a_plugin_of_an_author(tmp_path: Path) -> None:
    file = tmp_path / "own.py"
    file.write_text(
        "from dataclasses import dataclass\n\nfrom vcproxy.api import Secret, Session\n\n\n"
        "class Own(Session):\n    @dataclass(frozen=True)\n    class Options:\n"
        '        number: int = 0\n        """How many."""\n        secret: Secret | None = None\n'
    )
    schema = json_schema([str(file)])
    listener = LISTENER.replace("forward", str(file))
    assert _wrong(f"{listener}options.number = 'x'", schema) == ["listener.0.options.number"]
    assert _wrong(f"{listener}options.secret = {{ file = 'f' }}", schema) == []
    assert _wrong(f"{listener}options.secret = 's'", schema) == []
    assert _wrong(f"{listener}options.secret = 5", schema) == ["listener.0.options.secret"]


def _undescribed(node: Any, path: str) -> Iterator[str]:
    if isinstance(node, dict):
        for key, content in node.get("properties", {}).items() if "allOf" not in path else ():
            if isinstance(content, dict) and "description" not in content:
                yield f"{path}.{key}"
        for key, value in node.items():
            yield from _undescribed(value, f"{path}.{key}")


def test_every_key_is_described() -> None:
    assert list(_undescribed(_schema(), "")) == []


def test_options_of_each_bundled_plugin() -> None:
    named = {each["if"]["properties"]["plugin"]["const"] for each in _conditions()}
    assert {"forward", "http_proxy", "relay", "mirror"} <= named <= set(bundled_plugins())


def _conditions() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = _schema()["$defs"]["ListenerTable"]["allOf"]
    return found


def test_an_editor_takes_it(tmp_path: Path) -> None:
    """Taplo is what Even Better TOML checks with."""
    command = [sys.executable, "-m", "vcproxy", "schema"]
    (tmp_path / "s.json").write_bytes(subprocess.check_output(command))
    file = tmp_path / "proxy.toml"
    taplo = [str(Path(sys.executable).parent / "taplo"), "lint", str(file)]
    default = (ROOT / "conf" / "proxy.toml").read_text()
    file.write_text(f"#:schema ./s.json\n{default}")
    done = subprocess.run(taplo, capture_output=True, text=True, cwd=tmp_path, check=False)
    assert done.returncode == 0, done.stderr
    file.write_text(f"#:schema ./s.json\n{default.replace('plugin =', 'plugins =', 1)}")
    done = subprocess.run(taplo, capture_output=True, text=True, cwd=tmp_path, check=False)
    assert done.returncode == 1
    assert "'plugins' was unexpected" in done.stderr
