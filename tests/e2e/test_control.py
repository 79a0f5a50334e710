"""The bus door of a running proxy: its commands, who may use them, and clients that do harm."""

from __future__ import annotations

import os
import socket
import ssl
import stat
import subprocess
import time
from contextlib import suppress
from pathlib import Path

import pytest

from tests.e2e.conftest import Certificates, Starter, Tools
from tests.e2e.running import (
    ECHO,
    PATIENCE_S,
    VCPROXY,
    Running,
    all_of,
    eventually,
    exactly,
    free_port,
)
from vcproxy.bus.connections.blocking_client import BlockingClient, send_datagram
from vcproxy.bus.message.bus_message import BusMessage

SLOW = """
import time
from vcproxy.api import Message, Session, State, lines

class Slow(Session):
    needs_upstream = False
    framing = lines(limit="1KiB")
    TALKING = State(initial=True)

    @TALKING.on(Message, to=())
    def asked(self, message):
        time.sleep(3)
"""

DOORS = """
from vcproxy.api import Program, on_message

class Doors(Program):
    @on_message("OPEN<number>")
    def open(self, received):
        received.reply("OPENED", number=received.captured["number"])
        received.reply("SHUT", number=received.captured["number"])
"""


def control(*lines: str) -> str:
    """Return a configuration with a table [control]."""
    return "[control]\n" + "\n".join(lines) + "\n" + ECHO


def door(running: Running) -> str:
    """Return the address of the default control socket, from the log."""
    return running.wait_for(r"INFO control at unix:.*\.sock$").partition(" at ")[2]


def logged_door(log: Path) -> str:
    """Return the address of the control socket from a log file: it may be written after `ready`."""
    eventually(lambda: "control at " in log.read_text(), "the address of the control socket")
    return log.read_text().partition("control at ")[2].split()[0]


def ask(address: str, text: str) -> str:
    """Send a message; return the reply."""
    with BlockingClient(address) as client:
        return client.request(BusMessage.parse(text)).to_text()


# -- commands ------------------------------------------------------------------------------------


def test_each_command_by_the_default_socket(proxy: Starter, tmp_path: Path) -> None:
    running = proxy(f'[proxy]\nlog = "{tmp_path}/log"\n' + ECHO)
    log = tmp_path / "log"
    address = logged_door(log)
    assert ask(address, "ALIVE serial=3").startswith("ABSOLUTELY reply_timestamp=")
    assert "RELOAD,RESTART,SERVER,SHOW,SOURCES,STATUS,STOP" in ask(address, "HELP")
    state = BusMessage.parse(ask(address, "STATUS"))
    assert state.command == "PROXY_STATUS"
    assert (state.get("state"), state.integer("pid")) == ("serving", running.pid)
    assert (state.get("listeners"), state.integer("connections")) == ("echo", 0)
    with running.connect("echo") as client:
        client.sendall(b"x")
        assert exactly(client, 1) == b"x"
        assert BusMessage.parse(ask(address, "STATUS")).integer("connections") == 1
        assert "net-0: connection echo 127.0.0.1:" in ask(address, "SOURCES")
    log.rename(tmp_path / "old")
    assert ask(address, "LOG_ROTATE") == "LOG_ROTATED"
    eventually(log.exists, "a new log")
    assert ask(address, "RESTART").startswith("INVALID command=RESTART")
    assert ask(address, "STOP") == "STOPPING"
    assert running.wait() == 0
    assert not Path(address.removeprefix("unix:")).exists()


def test_a_reload_is_answered_with_its_result(proxy: Starter) -> None:
    running = proxy(ECHO)
    address = door(running)
    assert ask(address, "RELOAD").startswith("RELOADED list=listener ")
    running.file.write_text("listener = 5")
    reply = BusMessage.parse(ask(address, "RELOAD"))
    assert reply.command == "NOT_RELOADED"
    assert reply.text("reason").startswith(f"{running.file}:1:1: listener: ")
    assert str(running.file) in (BusMessage.parse(ask(address, "STATUS")).get("reload") or "")
    running.file.write_text(ECHO)
    assert ask(address, "RELOAD").startswith("RELOADED list=listener ")
    assert BusMessage.parse(ask(address, "STATUS")).get("reload") == ""


def test_the_second_stop_and_quitting_end_at_once(proxy: Starter) -> None:
    for commands in (("STOP", "STOP"), ("QUITTING",)):
        running = proxy(ECHO)
        address = door(running)
        with running.connect("echo") as client:
            client.sendall(b"x")
            exactly(client, 1)
            for command in commands:
                assert ask(address, command) == "STOPPING"
            assert running.wait() == 0


def test_while_it_drains_it_says_so(proxy: Starter) -> None:
    running = proxy(ECHO)
    address = door(running)
    with running.connect("echo") as client:
        client.sendall(b"x")
        exactly(client, 1)
        ask(address, "STOP")
        running.wait_for("draining connections: 1")
        assert BusMessage.parse(ask(address, "STATUS")).get("state") == "draining"
        assert ask(address, "RELOAD").startswith("NOT_RELOADED reason=the proxy is ")


def test_it_answers_while_a_plugin_blocks_the_net_thread(proxy: Starter, tmp_path: Path) -> None:
    (tmp_path / "slow.py").write_text(SLOW)
    running = proxy(
        '[proxy]\nslow_callback = "0s"\n'
        '[[listener]]\nname = "slow"\nbind = "tcp://127.0.0.1:0"\nplugin = "slow.py"\n'
    )
    address = door(running)
    ask(address, "ALIVE")
    with running.connect("slow") as client:
        client.sendall(b"sleep\n")
        time.sleep(0.2)
        began = time.monotonic()
        assert ask(address, "ALIVE").startswith("ABSOLUTELY")
        assert ask(address, "STATUS").startswith("PROXY_STATUS")
        assert time.monotonic() - began < 2.0
        assert "net-0: no answer within 1s" in ask(address, "SOURCES")


def test_messages_of_plugins_reach_them(proxy: Starter, tmp_path: Path) -> None:
    (tmp_path / "doors.py").write_text(DOORS)
    running = proxy('[[listener]]\nname = "doors"\nplugin = "doors.py"\n' + ECHO)
    address = door(running)
    with BlockingClient(address) as client:
        for text in ("OPEN3", "doors/OPEN3"):
            client.send(BusMessage.parse(f"<here:me {text}"))
            assert client.receive().to_text() == "here:me/OPENED number=3"
            assert client.receive().to_text() == "here:me/SHUT number=3"
    assert ask(address, "CLOSE") == "UNKNOWN command=CLOSE"
    assert "OPEN<number>" in ask(address, "HELP")
    assert ask(address, "doors/HELP") == "COMMANDS list=OPEN<number>"
    usage = ask(address, "HELP command=OPEN3")
    assert usage.startswith("COMMANDS list=OPEN<number>;usage=OPEN<number>")
    assert ask(address, "doors/HELP command=SHUT") == "UNKNOWN command=SHUT"


def test_messages_are_checked_against_the_definitions_of_the_operator(
    proxy: Starter, tmp_path: Path
) -> None:
    (tmp_path / "doors.py").write_text(DOORS)
    (tmp_path / "OPEN3.conf").write_text("[key]\ntype = integer\n")
    text = (
        f'[control]\nmessages = ["{tmp_path}"]\n[[listener]]\nname = "doors"\nplugin = "doors.py"\n'
    )
    running = proxy(text + ECHO)
    assert ask(door(running), "OPEN3 key=7") == "OPENED number=3"
    assert ask(door(running), "OPEN3") == (
        'INVALID command=OPEN3;message=the parameter "key" is missing'
    )
    assert ask(door(running), "OPEN4") == "OPENED number=4"
    (tmp_path / "OPEN3.conf").write_text("[key]\ntype = number\n")
    for option in ("-t", "-c"):
        options = ["-t", "-c"] if option == "-t" else ["-c"]
        done = subprocess.run(
            [*VCPROXY, *options, running.file],
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
            check=False,
        )
        assert done.returncode == 1
        wrong = f'{tmp_path}/OPEN3.conf:2: "number" is not a type'
        assert done.stderr.startswith(f"{running.file}: control.messages: {wrong}")


def test_a_recorded_run_is_replayed_with_its_messages_and_its_stop(
    proxy: Starter, tools: Tools, tmp_path: Path
) -> None:
    (tmp_path / "doors.py").write_text(DOORS)
    log = tmp_path / "run.log"
    running = proxy(
        f'[record]\nfile = "{log}"\n[[listener]]\nname = "doors"\nplugin = "doors.py"\n' + ECHO
    )
    address = door(running)
    assert ask(address, "OPEN3") == "OPENED number=3"
    with running.connect("echo") as client:
        client.sendall(b"x")
        assert exactly(client, 1) == b"x"
    assert ask(address, "RELOAD").startswith("RELOADED list=listener ")
    assert ask(address, "OPEN4") == "OPENED number=4"
    assert ask(address, "STOP") == "STOPPING"
    assert running.wait() == 0
    replayed = tools.run(*VCPROXY, "replay", str(log)).decode()
    assert replayed.endswith(" steps, all as recorded\n"), replayed


# -- the spelling of others ----------------------------------------------------------------------


def test_socat_and_the_spelling_of_the_original(proxy: Starter, tools: Tools) -> None:
    running = proxy(ECHO)
    address = door(running)
    host = socket.gethostname().partition(".")[0]
    asked = f"<{host}:ed_signal {host}:vcproxy/ALIVE serial=7\n".encode()
    place = f"UNIX-CONNECT:{address.removeprefix('unix:')}"
    reply = tools.run("socat", "-t60", "-", place, stdin=asked)
    assert reply.startswith(f"{host}:ed_signal/ABSOLUTELY reply_timestamp=".encode())
    assert reply.endswith(b";serial=7\n")
    assert tools.run("socat", "-t60", "-", place, stdin=b"RELOAD\n").startswith(b"RELOADED ")
    assert tools.run("socat", "-t60", "-", place, stdin=b'{"command":"STOP"}\n') == b"STOPPING\n"
    assert running.wait() == 0


# -- access --------------------------------------------------------------------------------------


def test_another_user_has_no_access(proxy: Starter) -> None:
    if os.geteuid():
        pytest.skip("only root can become another user")
    running = proxy(ECHO)
    path = door(running).removeprefix("unix:")
    for folder in (Path(path).parent, Path(path).parent.parent):
        folder.chmod(0o755)  # so that only the socket itself is in the way
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
    program = f"import socket; socket.socket(socket.AF_UNIX).connect({path!r})"
    done = subprocess.run(
        ["python3", "-c", program],
        user="nobody",
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    assert done.returncode == 1
    assert "PermissionError" in done.stderr
    assert ask(f"unix:{path}", "ALIVE").startswith("ABSOLUTELY")


def test_over_tcp_and_udp_nothing_is_changed(proxy: Starter) -> None:
    udp = free_port(socket.SOCK_DGRAM)
    running = proxy(control(f'bus = ["tcp://127.0.0.1:0", "udp://127.0.0.1:{udp}"]'))
    tcp = running.wait_for(r"INFO control at tcp:").partition(" at ")[2]
    assert ask(tcp, "HELP") == "COMMANDS list=ALIVE,HELP,STATUS"
    for command in ("STOP", "QUITTING", "RELOAD", "LOG_ROTATE", "RESTART", "SOURCES"):
        assert ask(tcp, f"{command} secret_code=x").startswith(f"INVALID command={command};")
        send_datagram(f"udp://127.0.0.1:{udp}", BusMessage(command), "secret")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.settimeout(PATIENCE_S)
        sock.sendto(b"ALIVE serial=5", ("127.0.0.1", udp))
        assert sock.recv(2000).startswith(b"ABSOLUTELY reply_timestamp=")
    assert running.poll() is None
    running.idle_descriptors += 1  # that of udp:// is opened about when the proxy is ready


def test_other_networks_are_refused(proxy: Starter) -> None:
    running = proxy(control('bus = ["unix", "tcp://127.0.0.1:0"]', 'allow = ["192.0.2.0/24"]'))
    tcp = running.wait_for(r"INFO control at tcp:").rpartition(":")[2]
    with socket.create_connection(("127.0.0.1", int(tcp))) as client:
        client.sendall(b"ALIVE\n")
        client.settimeout(PATIENCE_S)
        with suppress(ConnectionResetError):  # it had sent something
            assert all_of(client) == b""
    running.wait_for("127.0.0.1 is refused: its address is not in allow")
    assert ask(door(running), "ALIVE").startswith("ABSOLUTELY")


def test_a_client_certificate_opens_all_commands(
    proxy: Starter, certificates: Certificates, tmp_path: Path
) -> None:
    certificate, key = certificates.issue("localhost")
    table = (
        f'[control.tls]\ncertificate = "{certificate}"\nkey = "{key}"\n'
        f'client_ca = "{certificates.ca}"\n'
    )
    running = proxy(control('bus = "tls://127.0.0.1:0"', table))
    port = running.wait_for(r"INFO control at tls:").rpartition(":")[2]
    context = ssl.create_default_context(cafile=certificates.ca)
    without = f"tls://localhost:{port}"
    refused = "the peer requires our certificate, and we have none"
    with (
        pytest.raises(OSError, match=refused),
        BlockingClient(without, tls=context) as client,
    ):
        client.request(BusMessage("STOP"))
    assert running.poll() is None
    context.load_cert_chain(*certificates.issue("operator"))
    with BlockingClient(without, tls=context) as client:
        assert client.request(BusMessage("STOP")).command == "STOPPING"
    assert running.wait() == 0


# -- sockets and their files ---------------------------------------------------------------------


def test_a_stale_socket_is_removed_by_the_next_start(proxy: Starter, tmp_path: Path) -> None:
    file = tmp_path / "killed.toml"
    file.write_text(ECHO)
    killed = Running(file)
    stale = Path(door(killed).removeprefix("unix:"))
    killed.kill()
    assert stale.exists()
    running = proxy(ECHO)
    assert not stale.exists()
    assert ask(door(running), "ALIVE").startswith("ABSOLUTELY")


def test_two_proxies_side_by_side(proxy: Starter) -> None:
    one, other = proxy(ECHO), proxy(ECHO)
    assert door(one) != door(other)
    assert ask(door(one), "STOP") == "STOPPING"
    assert one.wait() == 0
    assert f"pid={other.pid};" in ask(door(other), "STATUS")


def test_a_named_socket_replaces_a_stale_one_but_not_a_live_one(
    proxy: Starter, tmp_path: Path
) -> None:
    text = control(f'bus = "unix:{tmp_path}/bus.sock"')
    stale = socket.socket(socket.AF_UNIX)
    stale.bind(f"{tmp_path}/bus.sock")
    stale.close()
    running = proxy(text)
    assert stat.S_IMODE((tmp_path / "bus.sock").stat().st_mode) == 0o600
    second = tmp_path / "second.toml"
    second.write_text(text)
    done = subprocess.run(
        [*VCPROXY, "-c", second],
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    assert done.returncode == 1
    where = f"cannot listen at unix:{tmp_path}/bus.sock: address already in use"
    assert done.stderr.splitlines()[-1] == f"{second}: control.bus: {where}"
    assert ask(f"unix:{tmp_path}/bus.sock", "STOP") == "STOPPING"
    assert running.wait() == 0


def test_off_is_no_socket(proxy: Starter) -> None:
    running = proxy(control('bus = "off"', 'http = "off"'))
    assert "control" not in running.log


def test_without_a_directory_it_serves_and_warns(
    proxy: Starter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "vcproxy").write_text("not a directory")
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    running = proxy(ECHO)
    why = f"{tmp_path}/vcproxy is not a directory; this proxy takes no messages there: create the"
    running.wait_for(rf"WARNING control.bus: no socket at {tmp_path}/vcproxy/\d+.sock: {why}")
    running.wait_for(rf"WARNING control.http: no socket at {tmp_path}/vcproxy/\d+.ctl.sock: {why}")
    with running.connect("echo") as client:
        client.sendall(b"x")
        assert exactly(client, 1) == b"x"


def test_failed_handshakes_do_not_flood_the_log(proxy: Starter, certificates: Certificates) -> None:
    """Strangers that speak no TLS: at most one line each second, with how many there were."""
    certificate, key = certificates.issue("localhost")
    table = f'[control.tls]\ncertificate = "{certificate}"\nkey = "{key}"\n'
    running = proxy(control('bus = "tls://127.0.0.1:0"', table))
    port = int(running.wait_for(r"INFO control at tls:").rpartition(":")[2])
    failed = 0

    def fail() -> bool:
        nonlocal failed
        with socket.create_connection(("127.0.0.1", port)) as client, suppress(OSError):
            client.sendall(b"no TLS at all\r\n\r\n")
            while client.recv(1000):
                pass
        failed += 1
        return "failed connections)" in running.log and failed >= 60

    began = time.monotonic()
    eventually(fail, "a line with the number of failures")
    seconds = time.monotonic() - began
    found = [line for line in running.log.splitlines() if "INFO control at tls://" in line]
    failures = [line for line in found if not line.endswith(f":{port}")]
    assert len(failures) <= seconds + 2, failures


def test_what_needs_a_restart_is_logged_at_a_reload(proxy: Starter) -> None:
    running = proxy(ECHO)
    running.file.write_text(control('http = "off"', 'allow = ["10.0.0.0/8"]'))
    assert ask(door(running), "RELOAD").startswith("RELOADED")
    running.wait_for("WARNING control.http has changed: restart the proxy to use it")
    running.wait_for("WARNING control.allow has changed: restart the proxy to use it")
