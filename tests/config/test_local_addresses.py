"""Addresses in this host: what is refused where, with the reason."""

from __future__ import annotations

from pathlib import Path

import pytest

from vcproxy.config.errors import ConfigError
from vcproxy.config.loader import load
from vcproxy.config.notes import notes

ECHO = '[[listener]]\nname = "in"\nbind = {bind}\nplugin = "echo"\n'
TUNNEL = '[[listener]]\nname = "in"\nbind = "{bind}"\nplugin = "tunnel"\nupstream = "app"\n'
UPSTREAM = '[upstream.app]\nservers = ["{server}"]\n'


def complaint(folder: Path, text: str) -> str:
    """Return what is wrong with a configuration."""
    file = folder / "proxy.toml"
    file.write_text(text)
    with pytest.raises(ConfigError) as caught:
        load(file)
    return str(caught.value).replace(f"{file}:", "")


@pytest.mark.parametrize(
    ("bind", "why"),
    [
        ("serial:/dev/ttyS0", '"serial:/dev/ttyS0": a serial line is connected to: write it in'),
        ("child:1/stdout", '"child:1/stdout": only a ChildProcess has such addresses'),
        ("unix:a.sock?mode=9", "mode must be an octal number, as 0660"),
        ("unix:a.sock?owner=nemo-x", 'the user "nemo-x" does not exist on this system: create it'),
        ("fifo:a.fifo?group=nemo-x", 'the group "nemo-x" does not exist on this system: create'),
        ("unix:" + "x" * 100, "a Unix socket path holds at most 107 bytes"),
    ],
)
def test_what_cannot_be_listened_at(bind: str, why: str, tmp_path: Path) -> None:
    assert why in complaint(tmp_path, ECHO.format(bind=f'"{bind}"'))


@pytest.mark.parametrize(
    ("server", "why"),
    [
        ("terminal:", "terminal: is for listeners only: write the address of a server"),
        ("stdio:", "stdio: is for listeners only: write the address of a server"),
        ("unix:a.sock?mode=0600", "mode is for an address to listen at: remove it"),
        ("unixgram:a.sock", "this address takes a stream, but the server unixgram:"),
    ],
)
def test_what_is_no_server(server: str, why: str, tmp_path: Path) -> None:
    text = TUNNEL.format(bind="tcp://127.0.0.1:0") + UPSTREAM.format(server=server)
    assert why in complaint(tmp_path, text)


@pytest.mark.parametrize("server", ["fifo:a.fifo", "serial:/dev/ttyS0?baud=9600"])
def test_what_cannot_be_checked(server: str, tmp_path: Path) -> None:
    text = TUNNEL.format(bind="tcp://127.0.0.1:0") + UPSTREAM.format(server=server)
    assert "cannot be checked, only used: remove check" in complaint(tmp_path, text + "check = {}")


def test_a_terminal_twice(tmp_path: Path) -> None:
    bind = '["terminal:", "terminal:?raw=true", "stdio:"]'
    assert "terminal: may be used only once in a process" in complaint(
        tmp_path, ECHO.format(bind=bind)
    )


def test_a_serial_line_in_several_workers(tmp_path: Path) -> None:
    text = TUNNEL.format(bind="tcp://127.0.0.1:0") + UPSTREAM.format(server="serial:/dev/ttyS0")
    assert "only one process at a time can use a serial line: write workers = 1" in complaint(
        tmp_path, "[proxy]\nworkers = 2\n" + text
    )


@pytest.mark.parametrize(
    ("bind", "why"),
    [
        ("fifo:a.fifo", "two readers of a FIFO would take each other's data"),
        ("terminal:", "there is only one terminal"),
        ("unixgram:a.sock", "all clients of a path send to one socket"),
    ],
)
def test_what_runs_in_worker_1(bind: str, why: str, tmp_path: Path) -> None:
    file = tmp_path / "proxy.toml"
    file.write_text("[proxy]\nworkers = 2\n" + ECHO.format(bind=f'"{bind}"'))
    assert ("listener.in", f"runs in worker 1 only: {why}") in list(notes(load(file)))


@pytest.mark.parametrize(
    "bind",
    ["unix:a.sock?mode=0660&group=0", "unixpacket:a.sock", "unixgram:a.sock?mode=600",
     "fifo:a.fifo?owner=0", "terminal:?raw=true"],
)  # fmt: skip
def test_what_can_be_listened_at(bind: str, tmp_path: Path) -> None:
    file = tmp_path / "proxy.toml"
    file.write_text(ECHO.format(bind=f'"{bind}"'))
    (address,) = load(file).settings.listener[0].bind
    scheme, _, rest = bind.partition(":")
    place = f"{tmp_path}/{rest}" if scheme != "terminal" else rest
    assert str(address) in (f"{scheme}:{place}", f"{scheme}:{tmp_path}/a.sock?group=0&mode=0660")


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ('source = "stdio:"', "stdio: can only be the bind of a listener"),
        ('source = "fifo:a?mode=0600"', "mode is for an address to listen at: remove it"),
        ('targets = ["terminal:"]', "terminal: can only be the bind of a listener"),
        ('targets = ["unixgram:a?mode=0600"]', "mode is for an address to listen at: remove it"),
        ('subscribers = "fifo:a"', "subscribers connect by tcp, tls or unix"),
    ],
)
def test_a_relay(options: str, why: str, tmp_path: Path) -> None:
    both = options if "targets" in options else f'{options}\ntargets = ["tcp://127.0.0.1:1"]'
    text = f'[[listener]]\nname = "in"\nplugin = "relay"\n[listener.options]\n{both}\n'
    assert why in complaint(tmp_path, text)


@pytest.mark.parametrize(
    "options",
    [
        'source = "fifo:a.fifo"',
        'source = "serial:/dev/ttyS0?baud=9600"\nframing = "lines"',
        'source = "unixgram:a.sock?mode=0622"\nframing = "datagram"',
        'source = "unixgram:a.sock"\nframing = "lines"',
    ],
)
def test_sources_of_a_relay(options: str, tmp_path: Path) -> None:
    file = tmp_path / "proxy.toml"
    both = f'{options}\ntargets = ["fifo:b.fifo"]'
    file.write_text(f'[[listener]]\nname = "in"\nplugin = "relay"\n[listener.options]\n{both}\n')
    load(file)
