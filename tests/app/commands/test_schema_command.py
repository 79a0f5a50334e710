"""`vcproxy schema` prints the schema, or why a plugin cannot be in it."""

from __future__ import annotations

import json

import pytest

from vcproxy.app.cli import main


def test_it_prints_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["schema"]) == 0
    schema = json.loads(capsys.readouterr().out)
    assert schema["title"] == "vcproxy"
    assert "workers" in schema["$defs"]["ProxyTable"]["properties"]


def test_a_plugin_that_does_not_exist(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["schema", "nosuch"]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith('there is no bundled plugin "nosuch"')
