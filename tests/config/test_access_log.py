"""The tables of the access log: their problems, each at its position, and how they combine."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.config.conftest import Accept, Complain
from vcproxy.access_log.log import AccessLogSettings
from vcproxy.config.effective import effective
from vcproxy.config.loader import load
from vcproxy.config.log_target import SyslogServer
from vcproxy.config.tables.access_log import settings_of

SOUND = '[[listener]]\nname = "web"\nbind = "tcp://127.0.0.1:0"\nplugin = "own.py:Either"\n'

BROKEN = {
    "an unknown field": (
        'file = "a.log"\nformat = "{client} {statsu}"',
        'access_log.format: there is no field "statsu"; did you mean "status"?',
    ),
    "a brace": (
        'file = "a.log"\nformat = "{client"',
        'access_log.format: "{" stands alone: write {{ for the character',
    ),
    "a sample": (
        'file = "a.log"\nsample = 2',
        'access_log.sample: must be a number from 0 to 1, or a text as "1/100"',
    ),
    "a sample of one in none": (
        'file = "a.log"\nsample = "1/0"',
        'access_log.sample: must be a number from 0 to 1, or a text as "1/100"',
    ),
    "no directory": (
        'file = "none/a.log"',
        "access_log.file: there is no directory none: create it",
    ),
    "a log server without a port": (
        'file = "syslog:udp://127.0.0.1"',
        'access_log.file: "udp://127.0.0.1" names no port, as in "udp://127.0.0.1:8080"',
    ),
}


@pytest.mark.parametrize(("lines", "complaint"), BROKEN.values(), ids=list(BROKEN))
def test_problems(lines: str, complaint: str, complaints: Complain) -> None:
    (found,) = complaints(f"[access_log]\n{lines}\n{SOUND}")
    assert complaint in found


def test_a_listener_without_a_file(complaints: Complain) -> None:
    assert complaints(SOUND + "access_log = { sample = 0.5 }\n") == [
        "proxy.toml:5:1: listener.web.access_log.file: is missing, and there is no [access_log] to "
        "take it from"
    ]


def test_a_directory_and_a_file_without_permission(folder: Path, complaints: Complain) -> None:
    (folder / "logs").mkdir()
    assert "is a directory" in "".join(complaints(f'[access_log]\nfile = "logs"\n{SOUND}'))
    (folder / "logs" / "a.log").touch(0o444)
    (folder / "logs").chmod(0o555)
    if os.geteuid():
        (found,) = complaints(f'[access_log]\nfile = "logs/a.log"\n{SOUND}')
        assert "cannot be written by this user" in found


def test_permissions_are_not_judged_where_the_user_changes(
    folder: Path, complaints: Complain, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "access", lambda *_: False)
    (found,) = complaints(f'[access_log]\nfile = "a.log"\n{SOUND}')
    assert "access_log.file: a.log cannot be written by this user" in found
    problems = complaints(f'[proxy]\nuser = "no such"\n[access_log]\nfile = "a.log"\n{SOUND}')
    assert not any("a.log" in each for each in problems)


def test_a_listener_changes_what_it_names(accepted: Accept) -> None:
    common = '[access_log]\nfile = "stderr"\nsample = "1/4"\n'
    found = {}
    for own in ("", "access_log = false", 'access_log = { format = "line" }'):
        settings = accepted(f"{common}{SOUND}{own}\n").settings
        found[own] = settings_of(settings.access_log, settings.listener[0].access_log)
    assert list(found.values()) == [
        AccessLogSettings("stderr", "json", 0.25),
        None,
        AccessLogSettings("stderr", "line", 0.25),
    ]


def test_a_log_server(accepted: Accept) -> None:
    text = '[access_log]\nfile = "syslog:udp://127.0.0.1:514?facility=local0"\n'
    common = accepted(text + SOUND).settings.access_log
    assert common is not None
    assert isinstance(common.file, SyslogServer)
    assert common.file.facility == "local0"


@pytest.mark.parametrize(
    "text",
    [
        '[access_log]\nfile = "a.log"\nsample = "1/4"\nformat = "{{ {client} }}"\n' + SOUND,
        SOUND + "access_log = false\n",
        SOUND + 'access_log = { file = "stderr", format = "line" }\n',
        '[access_log]\nfile = "syslog:udp://127.0.0.1:514?facility=local0"\n' + SOUND,
        "[access_log]\n" + SOUND + "access_log = true\n",
    ],
)
def test_what_is_printed_is_the_same_configuration(
    text: str, folder: Path, accepted: Accept
) -> None:
    configuration = accepted(text)
    printed = folder / "printed.toml"
    printed.write_text(effective(configuration))
    assert load(printed).settings == configuration.settings
