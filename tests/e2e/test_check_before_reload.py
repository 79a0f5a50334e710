"""`vcproxy -t` beside the proxy that runs, and reloads of several files with secrets."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.e2e.conftest import Starter
from tests.e2e.running import PATIENCE_S, VCPROXY, Running, exactly, free_port
from tests.e2e.test_ctl import ctl

PLUGIN = """\
from dataclasses import dataclass

from vcproxy.api import Message, Secret, Session, State


class Front(Session):
    @dataclass(frozen=True)
    class Options:
        word: Secret
        greeting: str = "hello"

    needs_upstream = False
    options: Options
    LISTENING = State(initial=True)

    @LISTENING.on(Message)
    def asked(self, message):
        self.answer(f"{self.options.greeting} {len(self.options.word.reveal())}\\n".encode())
"""


def _check(file: Path, *options: str) -> str:
    """Return what -t prints behind its first line."""
    done = subprocess.run(
        [*VCPROXY, "-t", "-c", str(file), *options],
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.partition("\n")[2].replace(f"{file.parent}/", "")


def _echo(name: str, port: int) -> str:
    return f'[[listener]]\nname = "{name}"\nbind = "tcp://127.0.0.1:{port}"\nplugin = "echo"\n'


@pytest.mark.parametrize("workers", [1, 2])
def test_what_a_reload_would_change(proxy: Starter, workers: int) -> None:
    head, ports = f"[proxy]\nworkers = {workers}\n", [free_port() for _ in range(3)]
    running = proxy(head + _echo("a", ports[0]) + _echo("b", ports[1]))
    file, before = running.file, f"{running.file.name}: a reload of process {running.pid}"
    assert _check(file) == f"{before} changes nothing\n"
    file.write_text(
        f'{head}memory = "128MiB"\ndrain_timeout = "3s"\n'
        + _echo("a", ports[0])
        + "half_close = false\n"
        + _echo("c", ports[2])
    )
    changes = (
        "  listener a: changed: half_close\n  listener c: new\n  listener b: removed\n"
        "  key proxy.drain_timeout: changed\n  key proxy.memory: restart needed\n"
    )
    assert _check(file) == f"{before} changes:\n{changes}"
    at = ("-c", str(file))
    assert ctl("reload", *at) == f"reloaded\n{changes}"
    assert _check(file) == f"{before} changes nothing\n"
    values = ctl("show", "settings", "table=proxy", "key=drain_timeout", "--json", *at)
    assert '"value": "\\"3s\\""' in values


def _greeting(running: Running, name: str) -> bytes:
    with running.connect(name) as client:
        client.sendall(b"?\n")
        return exactly(client, 8)


@pytest.mark.parametrize("workers", [1, 2])
def test_files_that_are_included_are_watched_and_given_to_workers(
    proxy: Starter, tmp_path: Path, workers: int
) -> None:
    (tmp_path / "conf.d").mkdir()
    (tmp_path / "front.py").write_text(PLUGIN)
    (tmp_path / "conf.d" / "word").write_text("secret\n")
    (tmp_path / "conf.d" / "word").chmod(0o600)

    def site(name: str, greeting: str) -> None:
        beside = tmp_path / "new"
        beside.write_text(
            f'[[listener]]\nname = "{name}"\nbind = "tcp://127.0.0.1:0"\nplugin = "../front.py"\n'
            f'options = {{ word = "${{file:word}}", greeting = "{greeting}" }}\n'
        )
        beside.rename(tmp_path / "conf.d" / f"{name}.toml")

    site("a", "hello")
    running = proxy(f'include = ["conf.d/*.toml"]\n[proxy]\nwatch = true\nworkers = {workers}\n')
    assert _greeting(running, "a") == b"hello 6\n"
    site("b", "guten")
    running.wait_for("^listening b ")
    assert _greeting(running, "b") == b"guten 6\n"
    (tmp_path / "conf.d" / "word").write_text("password\n")
    running.wait_for("reloaded", 2)
    assert _greeting(running, "b") == b"guten 8\n"
    assert "password" not in running.log
    (tmp_path / "conf.d" / "c.toml").write_text("[proxy]\nwatch = false\n")
    running.wait_for("proxy.watch: stands in .*conf.d/c.toml:2:1 too")
    assert _greeting(running, "a") == b"hello 8\n"
    (tmp_path / "conf.d" / "c.toml").unlink()
    (tmp_path / "conf.d" / "b.toml").unlink()
    running.wait_for("reloaded", 3)


def test_a_warning_is_logged_at_the_start_and_at_a_reload(proxy: Starter, tmp_path: Path) -> None:
    option = '        greeting: str = "hello"\n'
    warns = '        def warnings(self):\n            yield ("greeting",), "is rude"\n'
    (tmp_path / "warned.py").write_text(PLUGIN.replace(option, f"{option}\n{warns}"))
    running = proxy(
        '[[listener]]\nname = "a"\nbind = "tcp://127.0.0.1:0"\nplugin = "warned.py"\n'
        'options = { word = "w", greeting = "hey" }\n'
    )
    line = r"WARNING configuration: .*:5:25: listener.a.options.greeting: is rude$"
    running.wait_for(line)
    ctl("reload", "-c", str(running.file))
    running.wait_for(line, 2)
