"""The command line: output, exit status, and errors at the start."""

from __future__ import annotations

import re
import shutil
import signal
import socket
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tests.e2e.conftest import Certificates, Starter
from tests.e2e.running import ECHO, PATIENCE_S, VCPROXY, Server, exactly, refusing

CONF = Path(__file__).parents[2] / "conf"


def vcproxy(*arguments: str | Path) -> tuple[int, str, str]:
    """Run vcproxy to its end; return exit status, standard output and standard error."""
    done = subprocess.run(
        [*VCPROXY, *map(str, arguments)],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    assert "Traceback" not in done.stderr
    return done.returncode, done.stdout, done.stderr


def test_version_and_help() -> None:
    status, out, _ = vcproxy("--version")
    assert status == 0
    assert out.startswith("vcproxy ")
    status, out, _ = vcproxy("--help")
    assert status == 0
    assert "vcproxy -t -c conf/proxy.toml" in out


def test_a_configuration_is_required() -> None:
    status, out, err = vcproxy()
    assert (status, out) == (2, "")
    assert "name it with -c" in err


@pytest.mark.parametrize("arguments", [["--colour"], ["walk", "-c", "x"], ["-t", "-T", "-c", "x"]])
def test_a_wrong_command_line(arguments: list[str]) -> None:
    status, _, err = vcproxy(*arguments)
    assert status == 2
    assert err.startswith("usage: vcproxy")


def test_check_reports_all_errors_at_once(tmp_path: Path) -> None:
    file = tmp_path / "wrong.toml"
    file.write_text(
        ECHO.replace("plugin", "plugins")
        + '[[listener]]\nname = "echo"\nbind = "tcp://127.0.0.1:x"\nplugin = "forward"\n'
    )
    status, out, err = vcproxy("-t", "-c", file)
    assert (status, out) == (1, "")
    places = [line for line in err.splitlines() if line.startswith(f"{file}:")]
    assert len(places) >= 3
    assert "did you mean" in err
    for mode in ([], ["-T"], ["run"]):
        assert vcproxy(*mode, "-c", file) == (1, "", err)


def test_a_missing_and_an_empty_file(tmp_path: Path) -> None:
    empty = tmp_path / "empty.toml"
    empty.touch()
    for file, words in ((tmp_path / "missing.toml", "missing.toml"), (empty, "no listener")):
        for mode in ([], ["-t"], ["-T"]):
            status, _, err = vcproxy(*mode, "-c", file)
            assert status == 1
            assert words in err


def test_the_printed_configuration_is_valid_and_prints_the_same(tmp_path: Path) -> None:
    first, second = tmp_path / "first.toml", tmp_path / "second.toml"
    first.write_text(ECHO)
    status, printed, _ = vcproxy("-T", "-c", first)
    assert status == 0
    assert tomllib.loads(printed)["listener"][0]["limits"] == {"max_per_client": 0}
    second.write_text(printed)
    assert vcproxy("-t", "-c", second)[0] == 0
    assert vcproxy("-T", "-c", second) == (0, printed, "")


def test_a_port_in_use_prevents_the_start(tmp_path: Path) -> None:
    file = tmp_path / "proxy.toml"
    with Server() as taken:
        free = ECHO.replace("tcp://127.0.0.1:0", "unix:free.sock")
        busy = ECHO.replace("tcp://127.0.0.1:0", taken.uri).replace('"echo"', '"busy"', 1)
        file.write_text(free + busy)
        status, out, err = vcproxy("-c", file)
        assert (status, out) == (1, "")
        assert err.splitlines()[-1] == (
            f"{file}: listener.busy: cannot listen at {taken.uri}: address already in use; "
            "ss -tulnp shows the program that has it"
        )
        assert "\nready" not in err
    assert not (tmp_path / "free.sock").exists()


def test_an_address_of_another_host(tmp_path: Path) -> None:
    file = tmp_path / "proxy.toml"
    file.write_text(ECHO.replace("127.0.0.1", "203.0.113.1"))
    status, _, err = vcproxy("-c", file)
    assert status == 1
    assert "listener.echo: cannot listen at tcp://203.0.113.1:0: " in err
    file.write_text(ECHO.replace("127.0.0.1", "nobody.invalid"))
    status, _, err = vcproxy("-c", file)
    assert status == 1
    assert "listener.echo: cannot listen at tcp://nobody.invalid:0: " in err


def test_the_socket_of_a_dead_process_is_replaced_and_a_live_one_is_not(
    proxy: Starter, tmp_path: Path
) -> None:
    path = tmp_path / "echo.sock"
    dead = socket.socket(socket.AF_UNIX)
    dead.bind(str(path))
    dead.close()
    assert path.exists()
    text = ECHO.replace("tcp://127.0.0.1:0", "unix:echo.sock")
    running = proxy(text)
    second = tmp_path / "second.toml"
    second.write_text(text)
    status, _, err = vcproxy("-c", second)
    assert status == 1
    assert f"cannot listen at unix:{path}: address already in use" in err
    with running.connect("echo") as client:
        client.sendall(b"mine")
        assert exactly(client, 4) == b"mine"


def test_a_file_that_is_no_socket_is_kept(tmp_path: Path) -> None:
    (tmp_path / "echo.sock").write_text("precious")
    file = tmp_path / "proxy.toml"
    file.write_text(ECHO.replace("tcp://127.0.0.1:0", "unix:echo.sock"))
    assert vcproxy("-c", file)[0] == 1
    assert (tmp_path / "echo.sock").read_text() == "precious"


def test_a_log_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "log").mkdir()
    file = tmp_path / "proxy.toml"
    file.write_text('[proxy]\nlog = "log"\n' + ECHO)
    status, _, err = vcproxy("-c", file)
    assert status == 1
    assert "proxy.log" in err


@pytest.mark.parametrize("file", sorted(CONF.glob("*.toml")), ids=lambda file: file.stem)
def test_every_shipped_configuration_runs(
    proxy: Starter, certificates: Certificates, tmp_path: Path, file: Path
) -> None:
    """The test adds the certificates that they need, and free ports."""
    certificate, key = certificates.issue("localhost")
    shutil.copy(certificate, tmp_path / "server.pem")
    shutil.copy(key, tmp_path / "server.key")
    listens = re.compile(r'^(bind|subscribers) = "(\w+://\S+):\d+"', re.M)
    text = listens.sub(r'\1 = "\2:0"', file.read_text())
    checked = tmp_path / "checked.toml"
    checked.write_text(text)
    status, out, notes = vcproxy("-t", "-c", checked)
    assert (status, out) == (0, f"{checked}: the configuration is valid\n")
    assert all("worker" in note for note in notes.splitlines()), "what is divided among workers"
    proxy(text)


def test_the_default_configuration_moves_traffic(proxy: Starter) -> None:
    port = refusing().rpartition(":")[2]
    text = (CONF / "proxy.toml").read_text().replace(":15000", ":0").replace("15001", port)
    running = proxy(text)
    with running.connect("tunnel") as client:
        client.sendall(b"hello")
        assert exactly(client, 5) == b"hello"


def strings(tree: object, keys: tuple[str, ...]) -> list[str]:
    """Return all texts under these keys, at any depth."""
    found: list[str] = []
    if isinstance(tree, dict):
        for key, value in tree.items():
            found += [value] if key in keys and isinstance(value, str) else strings(value, keys)
    elif isinstance(tree, list):
        for value in tree:
            found += strings(value, keys)
    return found


def test_a_machine_is_drawn() -> None:
    status, out, _ = vcproxy("diagram", "forward")
    assert status == 0
    assert "Forward_CONNECTING --> Forward_RELAYING : CONNECTED" in out
    status, out, _ = vcproxy("diagram", "vcproxy.tunnels.two_way:TwoWayTunnel", "--format", "dot")
    assert status == 0
    assert 'TwoWayTunnel_ENDING -> TwoWayTunnel_DONE [label="TunnelDone"]' in out


def test_a_machine_process_is_drawn_whatever_its_file_is_called() -> None:
    status, out, _ = vcproxy("diagram", f"{CONF.parent}/samples/machines/switch/Switch:Switch")
    assert status == 0
    assert "Switch_OFF --> Switch_ON : on" in out


@pytest.mark.parametrize(
    ("plugin", "words"),
    [
        ("nope", 'nope: there is no bundled plugin "nope"'),
        ("vcproxy.sessions.session:Session", "it has no machine with states to draw"),
        ("vcproxy.tunnels.done", "vcproxy.tunnels.done defines no plugin"),
    ],
)
def test_a_class_that_cannot_be_drawn(plugin: str, words: str) -> None:
    status, out, err = vcproxy("diagram", plugin)
    assert (status, out) == (1, "")
    assert words in err


def test_svg_needs_graphviz() -> None:
    status, out, err = vcproxy("diagram", "echo", "--format", "svg")
    if shutil.which("dot"):
        assert status == 0
        assert "<svg" in out
    else:
        assert (status, out) == (1, "")
        assert err.startswith(
            "--format svg needs the program `dot` of Graphviz, which is not installed"
        )


def test_a_trace_is_logged(tmp_path: Path) -> None:
    file = tmp_path / "proxy.toml"
    file.write_text(ECHO.replace("tcp://127.0.0.1:0", "stdio:"))
    status, _, err = vcproxy("run", "--trace", "OneWayTunnel", "-c", file)
    assert status == 0
    assert "INFO echo stdio @ RELAYING got 'EOS' from OS\n" in err
    assert "ECHOING" not in err
    assert "no machine class" not in err


def test_a_trace_of_an_unknown_class_is_logged(tmp_path: Path) -> None:
    file = tmp_path / "proxy.toml"
    file.write_text(ECHO.replace("tcp://127.0.0.1:0", "stdio:"))
    for name, why in [
        ("OneWayTunel", "did you mean OneWayTunnel?"),
        ("Nobody", "there are: .*Echo, .*OneWayTunnel"),
    ]:
        status, _, err = vcproxy("run", "--trace", name, "-c", file)
        assert status == 0
        assert re.search(f"WARNING --trace {name}: no machine class is named {name}; {why}", err)


INTERRUPTED_IMPORT = """
import os, signal, sys

module = sys.argv.pop()
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job ignores it

class Interrupts:
    def find_spec(self, name, path=None, target=None):
        if name == module:
            os.kill(os.getpid(), signal.SIGINT)

sys.meta_path.insert(0, Interrupts())
from vcproxy.__main__ import main
sys.exit(main())
"""


@pytest.mark.parametrize("module", ["vcproxy.app.cli", "vcproxy.app.commands.machine_client"])
def test_interrupted_while_it_starts(module: str) -> None:
    """^C while modules are imported: there is no traceback, and no status of success."""
    done = subprocess.run(
        [sys.executable, "-c", INTERRUPTED_IMPORT, "machine", "list", "127.0.0.1:9", module],
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    assert done.returncode in {-signal.SIGINT, 130}
    assert (done.stdout, done.stderr) == ("", "")
