"""`vcproxy signal`: where it sends what, and what it prints."""

from __future__ import annotations

import os
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
import trustme

from tests.e2e.running import PATIENCE_S, refusing
from vcproxy.app import cli
from vcproxy.app.commands import signal_command
from vcproxy.app.commands.running_proxies import RunningProxy, running_proxies, socket_folders
from vcproxy.app.commands.signal_command import shown
from vcproxy.app.commands.variable_file import WrongVariables, read_variable, read_variables
from vcproxy.bus.message.bus_message import BusMessage

Printed = pytest.CaptureFixture[str]


class Service:
    """A service for one connection: it reads a line, sends its reply, and closes."""

    def __init__(
        self, listening: socket.socket, reply: bytes, context: ssl.SSLContext | None = None
    ) -> None:
        self._listening, self._reply, self._context = listening, reply, context
        self.received = b""
        listening.settimeout(PATIENCE_S)
        self.thread = threading.Thread(target=self._run)
        self.thread.start()

    @property
    def message(self) -> BusMessage:
        """The message that it has received."""
        self.thread.join()
        return BusMessage.parse(self.received.decode())

    def _run(self) -> None:
        while not self.received:  # a look for running proxies connects and sends nothing
            client, _ = self._listening.accept()
            client.settimeout(PATIENCE_S)
            try:
                if self._context is not None:
                    client = self._context.wrap_socket(client, server_side=True)
                self.received = client.makefile("rb").readline()
                if self.received and self._reply:
                    client.sendall(self._reply)
            except ssl.SSLError as error:
                self.received = f"TLS {error.reason}".encode()
            finally:
                client.close()


Serve = Callable[..., Service]


@pytest.fixture
def serve() -> Iterator[Serve]:
    started: list[tuple[socket.socket, Service]] = []

    def serving(
        place: Path | None, reply: bytes = b"DONE\n", context: ssl.SSLContext | None = None
    ) -> Service:
        if place is None:
            listening = socket.create_server(("127.0.0.1", 0))
        else:
            place.parent.mkdir(exist_ok=True)
            listening = socket.socket(socket.AF_UNIX)
            listening.bind(os.fspath(place))
            listening.listen()
        started.append((listening, Service(listening, reply, context)))
        return started[-1][1]

    yield serving
    for listening, service in started:
        service.thread.join()
        listening.close()


@pytest.fixture(autouse=True)
def own_host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A host without files, variables and proxies of others."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "run"))
    monkeypatch.setattr("vcproxy.app.commands.running_proxies.RUN", tmp_path / "system")
    monkeypatch.setattr(
        signal_command, "FILES", (tmp_path / "ed-signal.conf", tmp_path / "signal.conf")
    )
    for name in signal_command.VARIABLES:
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "run" / "vcproxy").mkdir(parents=True)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """The socket of a running proxy, which this process stands for."""
    return tmp_path / "run" / "vcproxy" / f"{os.getpid()}.sock"


# -- the running proxy ----------------------------------------------------------------------------


def test_the_only_running_proxy_gets_the_message(
    place: Path, serve: Serve, capsys: Printed
) -> None:
    service = serve(place, b"PROXY_STATUS pid=7;uptime=3600\n")
    assert cli.main(["signal", "STATUS"]) == 0
    assert capsys.readouterr() == ("PROXY_STATUS\n  pid     7\n  uptime  3600\n", "")
    message = service.message
    assert (message.command, message.parameters) == ("STATUS", {})
    assert (message.server, message.service) == ("", "")
    assert message.sent_from_service == "vcproxy_signal"


def test_a_message_with_parameters_for_another_service(place: Path, serve: Serve) -> None:
    service = serve(place)
    text = 'snap:cluckd/LOCK name="a;b"'
    assert cli.main(["signal", text, "-p", "timeout=30", "--param", "quick", "-c", "sesame"]) == 0
    message = service.message
    assert (message.server, message.service) == ("snap", "cluckd")
    assert message.parameters == {
        "name": "a;b", "timeout": "30", "quick": "", "secret_code": "sesame"
    }  # fmt: skip


def test_server_and_service_as_options(place: Path, serve: Serve) -> None:
    service = serve(place)
    assert cli.main(["signal", "-m", "STOP", "-s", "snap", "-S", "cluckd"]) == 0
    assert (service.message.server, service.message.service) == ("snap", "cluckd")


def test_a_message_in_json(place: Path, serve: Serve) -> None:
    service = serve(place)
    assert cli.main(["signal", '{"command": "LOCK", "parameters": {"timeout": 30}}']) == 0
    assert service.message.parameters == {"timeout": "30"}


@pytest.mark.parametrize(
    "reply",
    ["INVALID command=STOP;message=no", "UNKNOWN command=STOP", "NOT_RELOADED reason=a\\nb"],
)
def test_a_refusal_has_a_status_of_its_own(place: Path, serve: Serve, reply: str) -> None:
    serve(place, f"{reply}\n".encode())
    assert cli.main(["signal", "STOP"]) == 1


def test_a_command_that_is_not_there(place: Path, serve: Serve, capsys: Printed) -> None:
    serve(place, b"UNKNOWN command=STAUTS\n")
    assert cli.main(["signal", "STAUTS"]) == 1
    printed = capsys.readouterr()
    assert printed.out == "UNKNOWN\n  command  STAUTS\n"
    assert printed.err == "STAUTS is no command there: HELP lists all\n"


def test_no_reply_is_a_failure_unless_none_is_waited_for(
    place: Path, serve: Serve, capsys: Printed
) -> None:
    serve(place, b"")
    assert cli.main(["signal", "STOP"]) == 3
    assert capsys.readouterr().err == f"unix:{place}: the service has ended the connection\n"
    place.unlink()
    service = serve(place, b"")
    assert cli.main(["signal", "--no-reply", "STOP"]) == 0
    assert service.message.command == "STOP"


def test_a_reply_that_is_not_a_message(place: Path, serve: Serve, capsys: Printed) -> None:
    serve(place, b"HTTP/1.1 400 Bad Request\r\n")
    assert cli.main(["signal", "STOP"]) == 3
    assert "the reply is not a message: " in capsys.readouterr().err


def test_of_several_proxies_none_is_chosen(place: Path, serve: Serve, capsys: Printed) -> None:
    parent = place.with_name(f"{os.getppid()}.sock")
    service, other = serve(place), serve(parent)
    assert cli.main(["signal", "STATUS"]) == 4
    first, *listed = capsys.readouterr().err.splitlines()
    assert first == "2 proxies run; nothing was sent. Choose one:"
    assert sorted(int(line.split()[1]) for line in listed) == sorted([os.getpid(), os.getppid()])
    assert cli.main(["signal", "--pid", str(os.getppid()), "ALIVE"]) == 0
    assert other.message.command == "ALIVE"
    assert cli.main(["signal", "--pid", str(os.getpid()), "HELP"]) == 0
    assert service.message.command == "HELP"


def test_sockets_of_killed_proxies_are_ignored(place: Path, serve: Serve) -> None:
    gone = 4194305  # above pid_max (proc(5))
    names = f"{os.getppid()}.sock", f"{gone}.sock", "bus.sock"
    for file in map(place.with_name, names):
        with socket.socket(socket.AF_UNIX) as killed:
            killed.bind(os.fspath(file))
    place.with_name("1.sock").touch()
    service = serve(place)
    assert cli.main(["signal", "ALIVE"]) == 0
    assert service.message.command == "ALIVE"


def test_no_proxy_runs(place: Path, tmp_path: Path, capsys: Printed) -> None:
    assert cli.main(["signal", "STATUS"]) == 3
    text = capsys.readouterr().err
    assert text.startswith(f"no proxy has a socket in {place.parent} or {tmp_path}/system/vcproxy:")
    assert cli.main(["signal", "--pid", "1", "STATUS"]) == 3
    assert capsys.readouterr().err.startswith("no proxy with the number 1 has a socket in ")


def test_a_proxy_with_a_full_queue_is_found(place: Path) -> None:
    place.with_name("1.sock").touch()
    with socket.socket(socket.AF_UNIX) as listening, socket.socket(socket.AF_UNIX) as waiting:
        listening.bind(os.fspath(place))
        listening.listen(0)
        waiting.connect(os.fspath(place))
        assert running_proxies([place.parent]) == [RunningProxy(os.getpid(), place, True)]


def test_the_folders_of_a_user_and_of_the_system(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own, system = tmp_path / "run" / "vcproxy", tmp_path / "system" / "vcproxy"
    assert socket_folders() == [own, system]
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "system"))
    assert socket_folders() == [system]


# -- other services -------------------------------------------------------------------------------


def test_a_datagram_to_a_host(capsys: Printed) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as service:
        service.bind(("127.0.0.1", 0))
        service.settimeout(PATIENCE_S)
        place = f"127.0.0.1:{service.getsockname()[1]}"
        for how in (["--host", place], ["--host", f"udp://{place}"], ["-t", "udp", "-H", place]):
            assert cli.main(["signal", *how, "-c", "sesame", "LOG_ROTATE"]) == 0
            message = BusMessage.parse(service.recv(2000).decode())
            assert message.command == "LOG_ROTATE"
            assert message.parameters == {"secret_code": "sesame"}
    assert capsys.readouterr() == ("", "")


def test_a_reply_by_datagram(capsys: Printed) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as service:
        service.bind(("127.0.0.1", 0))
        service.settimeout(PATIENCE_S)
        place = f"127.0.0.1:{service.getsockname()[1]}"

        def answer() -> None:
            _, sender = service.recvfrom(2000)
            service.sendto(b"ABSOLUTELY serial=7", sender)

        thread = threading.Thread(target=answer)
        thread.start()
        assert cli.main(["signal", "--reply", "--host", place, "ALIVE"]) == 0
        thread.join()
        assert capsys.readouterr().out == "ABSOLUTELY\n  serial  7\n"
        assert cli.main(["signal", "-r", "--timeout", "20ms", "--host", place, "ALIVE"]) == 3
    assert capsys.readouterr().err == f"udp://{place}: no answer in time\n"


@pytest.mark.parametrize("replies", ["0", "-1", "one"])
def test_no_replies_are_not_waited_for(replies: str, capsys: Printed) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main(["signal", "--replies", replies, "STATUS"])
    assert ended.value.code == 2
    assert f'"{replies}" is not a number of 1 or more' in capsys.readouterr().err


def test_several_replies(place: Path, serve: Serve, capsys: Printed) -> None:
    serve(place, b"MOVING door=5\nNOT_MOVED door=5\n")
    assert cli.main(["signal", "--replies", "2", "DOOR5"]) == 1
    assert capsys.readouterr().out == "MOVING\n  door  5\nNOT_MOVED\n  door  5\n"


def test_a_fifo(tmp_path: Path, capsys: Printed) -> None:
    os.mkfifo(tmp_path / "fifo")
    with open(os.open(tmp_path / "fifo", os.O_RDONLY | os.O_NONBLOCK), "rb") as reader:
        assert cli.main(["signal", "-H", f"fifo:{tmp_path}/fifo", "HI"]) == 0
        assert BusMessage.parse(reader.readline().decode()).command == "HI"
        assert cli.main(["signal", "-r", "-H", f"fifo:{tmp_path}/fifo", "HI"]) == 2
    assert "no replies come from there" in capsys.readouterr().err


def test_a_datagram_to_a_unix_socket(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as service:
        service.bind(str(tmp_path / "app.sock"))
        service.settimeout(PATIENCE_S)
        assert cli.main(["signal", "-H", f"unixgram:{tmp_path}/app.sock", "ALIVE"]) == 0
        assert BusMessage.parse(service.recv(2000).decode()).command == "ALIVE"


def test_a_stream(serve: Serve, tmp_path: Path, capsys: Printed) -> None:
    over_unix = serve(tmp_path / "app.sock")
    assert cli.main(["signal", "--type", "unix", "--host", f"{tmp_path}/app.sock", "HI"]) == 0
    assert over_unix.message.command == "HI"
    over_tcp = serve(None, b"DAD\n")
    port = over_tcp._listening.getsockname()[1]
    assert cli.main(["signal", "--type", "tcp", "--host", f"127.0.0.1:{port}", "HI"]) == 0
    assert over_tcp.message.command == "HI"
    assert capsys.readouterr().out == "DONE\nDAD\n"


def test_mutual_tls(serve: Serve, tmp_path: Path, capsys: Printed) -> None:
    authority = trustme.CA()
    identity, ca = tmp_path / "client.pem", tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(ca)
    authority.issue_cert("client").private_key_and_cert_chain_pem.write_to_path(identity)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    authority.configure_trust(context)
    context.verify_mode = ssl.CERT_REQUIRED
    service = serve(None, b"STOPPING\n", context)
    port = service._listening.getsockname()[1]
    own = ["--ca", str(ca), "--certificate", str(identity), "--key", str(identity)]
    assert cli.main(["signal", "-t", "tcp", "-e", "-H", f"127.0.0.1:{port}", *own, "STOP"]) == 0
    assert service.message.command == "STOP"
    stranger = serve(None, b"STOPPING\n", context)
    port = stranger._listening.getsockname()[1]
    assert cli.main(["signal", "-H", f"tls://127.0.0.1:{port}", "STOP"]) == 3
    assert "certificate" in capsys.readouterr().err


def test_a_host_in_a_variable_of_a_file(serve: Serve, tmp_path: Path) -> None:
    service = serve(None)
    port = service._listening.getsockname()[1]
    (tmp_path / "app.conf").write_text(f"# where it listens\nlisten = 127.0.0.1:{port}\n")
    assert cli.main(["signal", "-t", "tcp", "-H", f"{tmp_path}/app.conf@listen", "HI"]) == 0
    assert service.message.command == "HI"


def test_a_port_that_refuses(capsys: Printed) -> None:
    assert cli.main(["signal", "--host", (uri := refusing()), "STOP"]) == 3
    assert capsys.readouterr().err == f"{uri}: nothing listens there\n"


# -- files and variables --------------------------------------------------------------------------


def test_environment_and_files_supply_what_the_command_line_leaves_out(
    serve: Serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: Path
) -> None:
    service, other = serve(tmp_path / "file.sock"), serve(tmp_path / "variable.sock")
    third, fourth = serve(tmp_path / "line.sock"), serve(place)
    (tmp_path / "ed-signal.conf").write_text("type = tcp\nhost = ignored\nsecret-code = a\n")
    (tmp_path / "signal.conf").write_text(f"type = unix\nhost = {tmp_path}/file.sock\n")
    assert cli.main(["signal", "ONE"]) == 0
    assert (service.message.command, service.message.parameters) == ("ONE", {"secret_code": "a"})
    monkeypatch.setenv("ED_SIGNAL", f"--host {tmp_path}/variable.sock --secret-code 'b c'")
    assert cli.main(["signal", "TWO"]) == 0
    assert (other.message.command, other.message.parameters) == ("TWO", {"secret_code": "b c"})
    assert cli.main(["signal", "-H", f"unix:{tmp_path}/line.sock", "-c", "c", "THREE"]) == 0
    assert (third.message.command, third.message.parameters) == ("THREE", {"secret_code": "c"})
    assert cli.main(["signal", "--pid", str(os.getpid()), "FOUR"]) == 0
    assert fourth.message.command == "FOUR"


def test_variables_of_a_file(tmp_path: Path) -> None:
    file = tmp_path / "a.conf"
    file.write_text("# a\n; b\n\nsecret-code='x y'\n\nplain: 1\n[tls]\nkey = \"k\"\nempty =\n")
    assert read_variables(file) == {
        "secret_code": "x y", "plain": "1", "tls::key": "k", "tls::empty": ""
    }  # fmt: skip
    assert read_variable(file, "secret_code") == read_variable(file, "secret-code") == "x y"
    with pytest.raises(WrongVariables, match=f"{file}: there is no variable port, only: secret_"):
        read_variable(file, "port")
    with pytest.raises(WrongVariables, match="no such file"):
        read_variables(tmp_path / "missing")
    file.write_text("type = udp\ntype\n")
    with pytest.raises(WrongVariables, match=f"{file}:2: write name = value, not: type"):
        read_variables(file)


# -- mistakes -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ([], "write one message, as in: vcproxy signal STATUS"),
        (["-m", "STOP", "STOP"], "write one message, as in: vcproxy signal STATUS"),
        (["a/STOP", "-S", "b"], "server or service is given twice"),
        (["a:b/STOP", "-s", "c"], "server or service is given twice"),
        (["-p", "9=1", "STOP"], "the message cannot be sent: "),
        (["STOP;"], '"STOP;" is not a message: a command consists of '),
        (["-H", "udp://127.0.0.1:1", "-t", "tcp", "STOP"], "is not of the type tcp"),
        (["-H", "tcp://127.0.0.1", "STOP"], "names no port"),
        (["-H", "unixgram:/a", "-r", "STOP"], "only udp:// has replies"),
        (["-H", "127.0.0.1:1", "-e", "STOP"], "--encrypt needs --type tcp"),
        (["-H", "127.0.0.1:1", "-p", "a=" + "x" * 1024, "STOP"], "at most 1024 can be sent"),
        (["-H", "nats://127.0.0.1/a", "STOP"], "BlockingClient needs"),
        (
            ["-H", "tls://127.0.0.1:1", "--ca", "missing.pem", "STOP"],
            "ca missing.pem: No such file",
        ),
        (["-H", "missing.conf@host", "STOP"], "missing.conf: no such file or directory"),
    ],
)
def test_mistakes(arguments: list[str], text: str, capsys: Printed) -> None:
    assert cli.main(["signal", *arguments]) == 2
    assert text in capsys.readouterr().err


def test_a_wrong_option_in_the_environment(
    monkeypatch: pytest.MonkeyPatch, capsys: Printed
) -> None:
    monkeypatch.setenv("VCPROXY_SIGNAL", "--type pigeon")
    assert cli.main(["signal", "STOP"]) == 2
    usage, last = capsys.readouterr().err.strip().rsplit("\n", 1)
    assert "invalid choice: 'pigeon'" in usage
    assert last.startswith("the wrong option comes from one of ")
    assert last.endswith("ED_SIGNAL, VCPROXY_SIGNAL")


# -- replies --------------------------------------------------------------------------------------


def test_a_reply_for_a_reader_and_for_programs() -> None:
    reply = BusMessage("NOT_RELOADED", {"reason": "a.toml:1\n\x1b[2J", "at": "7"})
    assert (
        shown(reply, "lines") == "NOT_RELOADED\n  at      7\n  reason  a.toml:1\n          \\x1b[2J"
    )
    assert shown(reply, "text") == r"NOT_RELOADED at=7;reason=a.toml:1\n\x1b[2J"
    assert BusMessage.parse(shown(reply, "json")) == reply
    assert shown(BusMessage("STOPPING"), "lines") == "STOPPING"


def test_a_full_disk_is_no_missing_reply(
    place: Path, serve: Serve, monkeypatch: pytest.MonkeyPatch, capsys: Printed
) -> None:
    serve(place, b"MOVED\n")
    with suppress(OSError), Path("/dev/full").open("w", encoding="utf-8") as full:  # at its end
        monkeypatch.setattr("sys.stdout", full)
        assert cli.main(["signal", "--host", f"unix:{place}", "MOVE"]) == 1
    assert capsys.readouterr().err == "the output cannot be written: no space left on device\n"
