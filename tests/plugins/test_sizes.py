"""Bundled plugins of protocols stay small: what is long in them belongs into the kit."""

from __future__ import annotations

from pathlib import Path

import pytest

import vcproxy

PLUGINS = Path(vcproxy.__file__).parent / "plugins"


@pytest.mark.parametrize("name", ["mllp", "modbus", "mpegts", "nmea", "syslog"])
def test_a_plugin_of_a_protocol_has_less_than_120_lines(name: str) -> None:
    assert len((PLUGINS / f"{name}.py").read_text().splitlines()) < 120
