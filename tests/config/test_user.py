"""The user of `proxy.user`: unknown ones are refused, and `-t` notes who cannot change to one."""

from __future__ import annotations

import os
import pwd
from pathlib import Path

import pytest

from vcproxy.config.errors import ConfigError
from vcproxy.config.loader import Configuration, load
from vcproxy.config.notes import notes
from vcproxy.config.user import find_user


def loaded(folder: Path, user: str) -> Configuration:
    """Load a configuration with a user."""
    file = folder / "proxy.toml"
    echo = '[[listener]]\nname = "in"\nbind = "tcp://127.0.0.1:0"\nplugin = "echo"\n'
    file.write_text(f'[proxy]\nuser = "{user}"\n{echo}')
    return load(file)


def test_a_user_is_found_by_name_and_by_number() -> None:
    own = pwd.getpwuid(os.geteuid())
    assert find_user(own.pw_name) == find_user(str(own.pw_uid)) == own.pw_uid
    assert find_user("no such user") is None
    assert find_user("4294967000") is None
    assert find_user("9" * 30) is None


def test_an_unknown_user_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        loaded(tmp_path, "nobdy")
    assert ':2:1: proxy.user: the user "nobdy" does not exist on this system' in str(caught.value)
    with pytest.raises(ConfigError, match=r"proxy\.user"):
        loaded(tmp_path, "")


def test_only_root_can_change_its_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    configuration = loaded(tmp_path, "nobody")
    nobody = pwd.getpwnam("nobody").pw_uid
    for uid in (0, nobody):
        monkeypatch.setattr("os.geteuid", lambda uid=uid: uid)
        assert list(notes(configuration)) == []
    monkeypatch.setattr("os.geteuid", lambda: 1234)
    note = "only root can change its user: started by user 1234, it stays 1234"
    assert list(notes(configuration)) == [("proxy.user", note)]
