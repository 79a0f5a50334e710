"""The content of a configuration: workers get what the master has read."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from vcproxy.config.loader import load
from vcproxy.config.secret import Secret
from vcproxy.workers.content import packed, unpacked

PLUGIN = """
from dataclasses import dataclass

from vcproxy.api import Secret, Validator


@dataclass(frozen=True)
class Keys:
    token: Secret
    other: Secret = Secret("default")


class Guard(Validator):
    Options = Keys
"""

CONF = """
# comments are kept, unless a secret is in a file
[[listener]]
name = "a"
bind = "tcp://127.0.0.1:0"
plugin = "guard.py"
upstream = "b"
options = { token = TOKEN }

[upstream.b]
servers = ["tcp://127.0.0.1:1"]
"""


@pytest.mark.parametrize("token", ['"s3cr3t"', '{ file = "token.txt" }'])
def test_a_secret_is_that_of_the_master(tmp_path: Path, token: str) -> None:
    (tmp_path / "guard.py").write_text(PLUGIN)
    kept, file = tmp_path / "token.txt", tmp_path / "conf.toml"
    kept.write_text("s3cr3t\n")
    file.write_text(CONF.replace("TOKEN", token))
    configuration = load(file)
    descriptor = packed(configuration)
    kept.unlink()
    file.unlink()
    try:
        found = unpacked(descriptor)
    finally:
        os.close(descriptor)
    assert found == configuration
    assert found.plugins["a"].secrets == {
        ("token",): Secret("s3cr3t"),
        ("other",): Secret("default"),
    }
    assert (found.documents.all[0].text == configuration.documents.all[0].text) is (
        token == '"s3cr3t"'
    )
