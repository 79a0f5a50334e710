"""`[proxy] log`: a file or a log server, and its problems."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.config.conftest import Accept, Complain
from vcproxy.config.effective import effective
from vcproxy.config.loader import load
from vcproxy.config.log_target import SyslogServer
from vcproxy.engine.address import Address

SOUND = '\n[[listener]]\nname = "web"\nbind = "tcp://127.0.0.1:0"\nplugin = "own.py:Either"\n'


@pytest.mark.parametrize(
    ("text", "target"),
    [
        ("syslog:udp://127.0.0.1:514", SyslogServer(Address.parse("udp://127.0.0.1:514"))),
        (
            "syslog:tcp://logs.example:601?facility=local7",
            SyslogServer(Address.parse("tcp://logs.example:601"), "local7"),
        ),
        ("syslog:unix:///dev/log", SyslogServer(Address.parse("unix:/dev/log"))),
        ("syslog:tls://[::1]:6514", SyslogServer(Address.parse("tls://[::1]:6514"))),
    ],
)
def test_log_servers(text: str, target: SyslogServer, accepted: Accept, folder: Path) -> None:
    configuration = accepted(f'[proxy]\nlog = "{text}"\n' + SOUND)
    assert configuration.settings.proxy.log == target
    printed = folder / "printed.toml"
    printed.write_text(effective(configuration))
    assert load(printed).settings == configuration.settings


def test_paths_are_relative_to_the_file(accepted: Accept, folder: Path) -> None:
    log = accepted('[proxy]\nlog = "syslog:unix:log.sock"\n' + SOUND).settings.proxy.log
    assert isinstance(log, SyslogServer)
    assert log.address.path == str(folder / "log.sock")
    assert accepted('[proxy]\nlog = "a.log"\n' + SOUND).settings.proxy.log == folder / "a.log"


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("syslog:nats://127.0.0.1/a", "a log server is at udp://, tcp://, tls:// or unix:"),
        ("syslog:udp://239.0.0.1:514", "a log server is at udp://, tcp://, tls:// or unix:"),
        ("syslog:", '"syslog:": a log server is at udp://, tcp://, tls:// or unix:, as in "sys'),
        ("syslog:/dev/log", '"syslog:/dev/log": a log server is at udp://, tcp://, tls:// or un'),
        ("syslog:udp://127.0.0.1", "names no port"),
        ("syslog:udp://127.0.0.1:0", "a log server has a port"),
        ("syslog:udp://127.0.0.1:1?facility=local8", '"local8" is not a facility: choose one of k'),
        ("syslog:udp://127.0.0.1:1?ca=a.pem", 'only "facility" is known after udp://127.0.0.1:1?'),
        ("syslog:tls://127.0.0.1:1?app=a", 'only "facility" and "ca" are known after tls://'),
        ("syslog:tls://127.0.0.1:1?ca=none.pem", "cannot read none.pem: No such file"),
    ],
)
def test_problems(text: str, complaint: str, complaints: Complain) -> None:
    (found,) = complaints(f'[proxy]\nlog = "{text}"\n' + SOUND)
    assert found.startswith("proxy.toml:2:1: proxy.log: ")
    assert complaint in found
