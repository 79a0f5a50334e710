"""Errors after an inline table, a list in brackets or dotted keys are explained."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.config.test_problems import SOUND

BROKEN = {
    "a table within an inline table": (
        SOUND + 'options = {}\n[listener.options.routes]\npath = "/"\n',
        "proxy.toml:6:25: this is not TOML: listener.options is an inline table on line 5, to "
        "which nothing can be added: remove it there, and write its keys below "
        "[listener.options]",
    ),
    "a table of an array within an inline table": (
        SOUND + SOUND + 'options = { x = 1 }\n[[listener.options.routes]]\npath = "/"\n',
        "proxy.toml:10:26: this is not TOML: listener.options is an inline table on line 9, to "
        "which nothing can be added: remove it there, and write its keys below "
        "[listener.options]",
    ),
    "a key within an inline table": (
        SOUND + "options = {}\noptions.x = 1\n",
        "proxy.toml:6:14: this is not TOML: listener.options is an inline table on line 5, to "
        "which nothing can be added: remove it there, and write its keys below "
        "[listener.options]",
    ),
    "an inline table twice": (
        SOUND + "tls = {}\n[listener.tls]\n",
        "proxy.toml:6:14: this is not TOML: listener.tls is an inline table on line 5, to "
        "which nothing can be added: remove it there, and write its keys below [listener.tls]",
    ),
    "a table of a list in brackets": (
        SOUND + "options.routes = []\n[[listener.options.routes]]\n",
        "proxy.toml:6:26: this is not TOML: listener.options.routes is a list in brackets on "
        "line 5, to which nothing can be added: remove it there, and write each of its items "
        "below [[listener.options.routes]]",
    ),
    "a table after its dotted keys": (
        SOUND + "options.filters = []\n[listener.options]\nx = 1\n",
        "proxy.toml:6:18: this is not TOML: the keys of listener.options are written with dots "
        "from line 5 on: write all of them with dots, or all of them below [listener.options]",
    ),
    "a table within a list in brackets": (
        "upstream = [{ x = 1 }]\n[upstream.db]\n",
        "proxy.toml:2:13: this is not TOML: upstream is a list in brackets on line 1, to which "
        "nothing can be added: remove it there, and write each of its items below [[upstream]]",
    ),
    "an inline table in the statement that goes wrong": (
        "a = {}\na.b = [\n]\n",
        "proxy.toml:3:2: this is not TOML: Cannot mutate immutable namespace ('a',)",
    ),
    "a table twice": (
        "[proxy]\n[proxy]\n",
        "proxy.toml:2:7: this is not TOML: Cannot declare ('proxy',) twice",
    ),
}


@pytest.mark.parametrize(("text", "problem"), BROKEN.values(), ids=BROKEN.keys())
def test_syntax_errors(text: str, problem: str, complaints: Callable[[str], list[str]]) -> None:
    assert complaints(text) == [problem]
