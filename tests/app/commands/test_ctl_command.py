"""`vcproxy ctl`: which proxy it asks, what it sends, and what it prints."""

from __future__ import annotations

import json
import os
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.e2e.running import PATIENCE_S, refusing
from vcproxy.app import cli
from vcproxy.app.commands import running_proxies

Printed = pytest.CaptureFixture[str]

ROWS = {
    "question": "conns",
    "columns": ["id", "client", "bytes_in", "age", "tls"],
    "units": {"bytes_in": "bytes", "age": "s"},
    "rows": [
        {"worker": 0, "thread": "net-0", "id": "c1", "client": "10.0.0.1:2", "bytes_in": 4096,
         "age": 2.5, "tls": False},
        {"worker": 0, "thread": "net-0", "id": "c2", "client": "10.0.0.3:4", "bytes_in": 10,
         "age": 0.25, "tls": False},
    ],
    "missing": [],
}  # fmt: skip


class Answering:
    """A door that answers each connection in the same way, and keeps what it was sent."""

    def __init__(self, listening: socket.socket, answer: bytes) -> None:
        self._listening, self._answer = listening, answer
        self.requests: list[bytes] = []
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        while True:
            try:
                client, _ = self._listening.accept()
            except OSError:  # it was shut down
                return
            with client:
                client.settimeout(PATIENCE_S)
                if received := self._read(client):
                    self.requests.append(received)
                    client.sendall(self._answer)

    @staticmethod
    def _read(client: socket.socket) -> bytes:
        received = b""
        while True:
            head, end, body = received.partition(b"\r\n\r\n")
            length = head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]
            if end and len(body) >= int(length or 0):
                return received
            more = client.recv(65536)
            if not more:
                return received
            received += more

    def close(self) -> None:
        """End."""
        self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        self._thread.join()


def response(status: str, content: object) -> bytes:
    """Return the bytes of a response."""
    body = content if isinstance(content, bytes) else json.dumps(content).encode()
    return b"HTTP/1.1 %b\r\nContent-Length: %d\r\n\r\n%b" % (status.encode(), len(body), body)


Serve = Callable[..., Answering]


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Serve]:
    started: list[Answering] = []

    def serving(
        content: object = ROWS, status: str = "200 OK", *, pid: int = os.getpid(), tcp: bool = False
    ) -> Answering:
        if tcp:
            listening = socket.create_server(("127.0.0.1", 0))
        else:
            listening = socket.socket(socket.AF_UNIX)
            listening.bind(str(tmp_path / "run" / "vcproxy" / f"{pid}.ctl.sock"))
            listening.listen()
        started.append(Answering(listening, response(status, content)))
        return started[-1]

    yield serving
    for each in started:
        each.close()


@pytest.fixture(autouse=True)
def own_host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A host without proxies of others; the folder of its sockets."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "run"))
    monkeypatch.setattr(running_proxies, "RUN", tmp_path / "system")
    folder = tmp_path / "run" / "vcproxy"
    folder.mkdir(parents=True)
    return folder


def sent(door: Answering) -> tuple[str, dict[str, object]]:
    """Return the request line of the last request, and the JSON of its body."""
    head, _, body = door.requests[-1].partition(b"\r\n\r\n")
    return head.decode().partition(" HTTP/1.1")[0], json.loads(body or b"{}")


# -- what is sent --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "line", "body"),
    [
        ("show conns listener=db client=a&b", "GET /v1/show/conns?listener=db&client=a%26b", {}),
        ("server web/tcp://10.0.0.1:80 drain", "POST /v1/server",
         {"name": "web/tcp://10.0.0.1:80", "state": "drain"}),
        ("server 10.0.0.1:80 weight 5", "POST /v1/server", {"name": "10.0.0.1:80", "weight": "5"}),
        ("kill c7", "POST /v1/kill", {"conn": "c7"}),
        ("drain db", "POST /v1/drain", {"listener": "db"}),
        ("drain all", "POST /v1/drain", {}),
        ("reload", "POST /v1/reload", {}),
        ("restart", "POST /v1/restart", {}),
        ("rotate", "POST /v1/log-rotate", {}),
        ("log-level debug", "POST /v1/log-level", {"level": "debug"}),
        ("status", "POST /v1/status", {}),
        ("stop", "POST /v1/stop", {}),
        ("stop --at-once", "POST /v1/quitting", {}),
        ("dashboard", "POST /v1/dashboard", {}),
    ],
)  # fmt: skip
def test_each_command_is_a_request(
    arguments: str, line: str, body: dict[str, str], serve: Serve
) -> None:
    door = serve()
    assert cli.main(["ctl", *arguments.split()]) == 0
    assert sent(door) == (line, body)


# -- what is printed -----------------------------------------------------------------------------


def test_rows_are_a_table(serve: Serve, capsys: Printed) -> None:
    serve()
    assert cli.main(["ctl", "show", "conns"]) == 0
    assert capsys.readouterr().out == (
        "id  client      bytes_in    age\n"
        "c1  10.0.0.1:2    4.0KiB   2.5s\n"
        "c2  10.0.0.3:4       10B  250ms\n"
    )
    assert cli.main(["ctl", "show", "conns", "--columns", "age,tls", "--sort", "bytes_in"]) == 0
    assert capsys.readouterr().out == "  age  tls\n 2.5s  no\n250ms  no\n"
    assert cli.main(["ctl", "show", "conns", "--all", "--sort", "bytes_in", "--reverse"]) == 0
    assert capsys.readouterr().out.splitlines()[:2] == [
        "worker  thread  id  client      bytes_in    age  tls",
        "     0  net-0   c2  10.0.0.3:4       10B  250ms  no",
    ]


def test_one_row_is_printed_as_lines_and_none_as_none(
    serve: Serve, capsys: Printed, own_host: Path
) -> None:
    serve(ROWS | {"rows": ROWS["rows"][:1]})  # type: ignore[index]
    assert cli.main(["ctl", "show", "conns"]) == 0
    assert capsys.readouterr().out.startswith("id        c1\nclient    10.0.0.1:2\n")
    os.unlink(own_host / f"{os.getpid()}.ctl.sock")
    serve(ROWS | {"rows": []}, pid=os.getppid())
    assert cli.main(["ctl", "show", "conns"]) == 0
    assert capsys.readouterr().out == "none\n"


def test_json_is_the_answer_as_it_is(serve: Serve, capsys: Printed) -> None:
    serve()
    for arguments in (["show", "conns", "--json"], ["--json", "show", "conns"]):
        assert cli.main(["ctl", *arguments]) == 0
        assert json.loads(capsys.readouterr().out) == ROWS


def test_an_answer_that_is_not_complete(serve: Serve, capsys: Printed) -> None:
    serve(ROWS | {"missing": ["net-1: no answer within 2s"]})
    assert cli.main(["ctl", "show", "conns"]) == 5
    assert capsys.readouterr().err == "missing: net-1: no answer within 2s\n"


def test_a_reply_is_printed_with_its_values(serve: Serve, capsys: Printed) -> None:
    serve({"reply": "PROXY_STATUS", "state": "serving", "pid": 7, "reload": "a\x1b[2J"})
    assert cli.main(["ctl", "status"]) == 0
    assert capsys.readouterr().out == (
        "status\n  pid     7\n  reload  a\\x1b[2J\n  state   serving\n"
    )


def test_what_was_changed_is_printed(serve: Serve, capsys: Printed) -> None:
    reply = {
        "reply": "CHANGED",
        "list": "0-7: echo 10.0.0.1:2\n0-8: other",
        "missing": "net-1: late",
    }
    serve(reply)
    assert cli.main(["ctl", "kill", "0-7"]) == 5
    printed = capsys.readouterr()
    assert printed.out == "changed\n  0-7: echo 10.0.0.1:2\n  0-8: other\n"
    assert printed.err == "missing: net-1: late\n"
    assert cli.main(["ctl", "kill", "0-7", "--json"]) == 5
    assert json.loads(capsys.readouterr().out) == reply


def test_questions_and_their_columns_are_explained(serve: Serve, capsys: Printed) -> None:
    about = {"about": "Each open one.", "columns": {"id": "Its id."}, "arguments": {"x": "An x."}}
    serve({"questions": {"conns": about}})
    assert cli.main(["ctl", "show"]) == 0
    assert capsys.readouterr().out == "conns  Each open one.\n"
    assert cli.main(["ctl", "show", "conns", "--help-columns"]) == 0
    assert capsys.readouterr().out == "Each open one.\n\nid  Its id.\nx   An x.\n"
    assert cli.main(["ctl", "show", "other", "--help-columns"]) == 2


def test_the_addresses_of_the_dashboard(serve: Serve, capsys: Printed) -> None:
    serve({"addresses": ["http://127.0.0.1:9901/?token=x"]})
    assert cli.main(["ctl", "dashboard"]) == 0
    assert capsys.readouterr().out == "http://127.0.0.1:9901/?token=x\n"


def test_a_trace_is_printed_as_it_comes(serve: Serve, capsys: Printed) -> None:
    event = {
        "at": 1.5, "machine": "Echo\x1b", "state": "ECHOING", "event": "READ_READY",
        "source": "OS", "bytes_in": 3, "bytes_out": 0,
    }  # fmt: skip
    last = {"end": "the connection is closed"}
    texts = [f"data: {json.dumps(each)}\n\n" for each in (event, {"dropped": 7}, last)]
    serve("".join([": beat\n\n", *texts]).encode(), "200 OK\r\nConnection: close")
    assert cli.main(["ctl", "trace", "c7"]) == 0
    printed = capsys.readouterr()
    assert printed.out == (
        "   1.500000  Echo\\x1b @ ECHOING got 'READ_READY' from OS  (in 3, out 0 bytes)\n"
        "... 7 events came too fast, and are not shown\n"
    )
    assert printed.err == "it is traced: Ctrl-C ends that\nthe connection is closed\n"
    assert cli.main(["ctl", "trace", "c7", "--json"]) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[0]) == event


# -- what goes wrong -----------------------------------------------------------------------------


def test_a_refused_reload_says_what_is_in_use(serve: Serve, capsys: Printed) -> None:
    serve({"error": "a.toml:1:1: no\na.toml:2:1: no", "reply": "NOT_RELOADED"}, "409 Conflict")
    assert cli.main(["ctl", "reload"]) == 1
    assert capsys.readouterr().err == (
        "not reloaded; the previous configuration stays in use:\na.toml:1:1: no\na.toml:2:1: no\n"
    )


def test_the_states_of_a_server_are_named_where_one_is_missing(capsys: Printed) -> None:
    with pytest.raises(SystemExit):
        cli.main(["ctl", "server", "web/10.0.0.7:80"])
    assert "are required: ready|drain|maint|weight" in capsys.readouterr().err


def test_a_refusal_is_printed_with_status_1(serve: Serve, capsys: Printed) -> None:
    serve({"error": "there is no connection c7"}, "404 Not Found")
    assert cli.main(["ctl", "kill", "c7"]) == 1
    assert capsys.readouterr() == ("", "there is no connection c7\n")


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["show", "conns", "listener"], '"listener" is no filter: write COLUMN=VALUE'),
        (["show", "conns", "--columns", "nothing"], "there is no column nothing; there are worker"),
        (["show", "conns", "--sort", "nothing"], "there is no column nothing; there are worker"),
        (["--pid", "1", "--at", "unix:/a", "status"], "--pid, --at and -c each mean one proxy"),
        (["--at", "udp://127.0.0.1:1", "status"], "write unix:PATH or tcp://HOST:PORT"),
        (["--at", "nonsense", "status"], "--at: "),
        (["--at", "tcp://127.0.0.1:1", "--token-file", "none", "status"], "none: no such file"),
        (["-c", "none.toml", "status"], "none.toml: no such file or directory"),
    ],
)
def test_a_wrong_call(arguments: list[str], why: str, serve: Serve, capsys: Printed) -> None:
    serve()
    assert cli.main(["ctl", *arguments]) == 2
    printed = capsys.readouterr()
    assert why in printed.err
    assert "Traceback" not in printed.err


@pytest.mark.parametrize(
    "arguments", [["server", "a", "weight"], ["server", "a", "drain", "5"], ["show", "--nothing"]]
)
def test_a_wrong_command_line(arguments: list[str], capsys: Printed) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main(["ctl", *arguments])
    assert ended.value.code == 2
    assert "usage: vcproxy " in capsys.readouterr().err


def test_without_a_command_it_says_how_to_go_on(capsys: Printed) -> None:
    assert cli.main(["ctl"]) == 2
    assert "name a command, as in: vcproxy ctl show" in capsys.readouterr().err


def test_no_proxy_runs(capsys: Printed, own_host: Path) -> None:
    assert cli.main(["ctl", "status"]) == 3
    assert capsys.readouterr().err.startswith(f"no proxy has a control socket in {own_host} or ")
    assert cli.main(["ctl", "--pid", "4711", "status"]) == 3
    assert "no proxy with the number 4711 has" in capsys.readouterr().err


def test_nothing_listens_there(capsys: Printed) -> None:
    assert cli.main(["ctl", "--at", refusing(), "status"]) == 3
    assert "connection refused" in capsys.readouterr().err
    assert cli.main(["ctl", "--at", "unix:/nowhere/a.sock", "status"]) == 3
    assert capsys.readouterr().err == "unix:/nowhere/a.sock: no such file or directory\n"


@pytest.mark.parametrize(
    "answer", [b"no HTTP", b"", response("200 OK", b"{"), response("200 OK", b"[]")]
)
def test_what_answers_is_no_proxy(
    answer: bytes, serve: Serve, capsys: Printed, tmp_path: Path
) -> None:
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(str(tmp_path / "a.sock"))
    listening.listen()
    door = Answering(listening, answer)
    assert cli.main(["ctl", "--at", f"unix:{tmp_path}/a.sock", "status"]) == 3
    assert f"unix:{tmp_path}/a.sock: " in capsys.readouterr().err
    door.close()


def test_no_answer_in_time(capsys: Printed, tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(tmp_path / "a.sock"))
        listening.listen()
        at = f"unix:{tmp_path}/a.sock"
        assert cli.main(["ctl", "--at", at, "--timeout", "50ms", "status"]) == 3
    assert capsys.readouterr().err == f"{at}: no answer within 0.05s\n"


# -- which proxy is meant ------------------------------------------------------------------------


def test_several_proxies_run(serve: Serve, capsys: Printed) -> None:
    rows = [{"worker": 0, "configuration": "/etc/a.toml"}]
    own = serve(ROWS | {"rows": rows})
    other = serve(ROWS | {"rows": [{"configuration": "/etc/b.toml"}]}, pid=os.getppid())
    assert cli.main(["ctl", "status"]) == 4
    printed = capsys.readouterr().err
    assert printed.startswith("2 proxies run; nothing was sent. Choose one:\n")
    assert f"  --pid {os.getpid()}   -c /etc/a.toml\n" in printed
    assert all(b"/v1/show/process" in each for each in own.requests + other.requests)
    assert cli.main(["ctl", "--pid", str(os.getppid()), "kill", "c1"]) == 0
    assert sent(other)[0] == "POST /v1/kill"


def test_a_proxy_is_found_by_its_configuration(
    serve: Serve, capsys: Printed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a.toml", "b.toml", "c.toml"):
        (tmp_path / name).write_text("")
    serve(ROWS | {"rows": [{"configuration": str(tmp_path / "a.toml")}]})
    other = serve(ROWS | {"rows": [{"configuration": str(tmp_path / "b.toml")}]}, pid=os.getppid())
    monkeypatch.chdir(tmp_path)
    assert cli.main(["ctl", "-c", "b.toml", "kill", "c1"]) == 0
    assert sent(other)[0] == "POST /v1/kill"
    assert cli.main(["ctl", "-c", "c.toml", "kill", "c1"]) == 3
    assert f"no proxy with the configuration {tmp_path}/c.toml has" in capsys.readouterr().err


def test_the_address_and_the_token_of_a_configuration(
    serve: Serve, capsys: Printed, tmp_path: Path
) -> None:
    door = serve(tcp=True)
    port = door._listening.getsockname()[1]
    file = tmp_path / "proxy.toml"
    file.write_text(f'[control]\nhttp = "tcp://127.0.0.1:{port}"\ntoken_file = "token"\n')
    (tmp_path / "token").write_text("a-token-of-some-length\n")
    assert cli.main(["ctl", "-c", str(file), "kill", "c1"]) == 0
    assert b"\r\nAuthorization: Bearer a-token-of-some-length\r\n" in door.requests[0]
    file.write_text('[control]\nhttp = "off"\n')
    assert cli.main(["ctl", "-c", str(file), "kill", "c1"]) == 3
    assert 'control.http is "off"' in capsys.readouterr().err
    file.write_text("[control")
    assert cli.main(["ctl", "-c", str(file), "kill", "c1"]) == 2


def test_the_address_in_an_included_file_with_variables(
    serve: Serve, capsys: Printed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    door = serve(tcp=True)
    monkeypatch.setenv("CONTROL_PORT", str(door._listening.getsockname()[1]))
    file, other = tmp_path / "proxy.toml", tmp_path / "conf.d" / "control.toml"
    other.parent.mkdir()
    file.write_text('include = "conf.d/*.toml"\n')
    other.write_text('[control]\nhttp = "tcp://127.0.0.1:${CONTROL_PORT}"\ntoken_file = "token"\n')
    (other.parent / "token").write_text("a-token-of-some-length\n")
    assert cli.main(["ctl", "-c", str(file), "kill", "c1"]) == 0
    assert b"\r\nAuthorization: Bearer a-token-of-some-length\r\n" in door.requests[0]
    other.write_text("[control")
    assert cli.main(["ctl", "-c", str(file), "kill", "c1"]) == 2
    assert f"{other}:1:9: this is not TOML" in capsys.readouterr().err


def test_the_token_that_the_only_proxy_has_made(
    serve: Serve, capsys: Printed, own_host: Path
) -> None:
    door = serve(tcp=True)
    at = f"tcp://127.0.0.1:{door._listening.getsockname()[1]}"
    (own_host / "7.token").write_text("the-token-of-the-only-one\n")
    assert cli.main(["ctl", "--at", at, "status"]) == 0
    assert b"Bearer the-token-of-the-only-one\r\n" in door.requests[0]
    (own_host / "8.token").write_text("another-token-of-a-proxy\n")
    assert cli.main(["ctl", "--at", at, "status"]) == 2
    assert "choose the token of one proxy with --token-file: " in capsys.readouterr().err


def test_a_wrong_token(serve: Serve, capsys: Printed) -> None:
    door = serve({"error": "a token is required at this address"}, "401 Unauthorized", tcp=True)
    at = f"tcp://127.0.0.1:{door._listening.getsockname()[1]}"
    assert cli.main(["ctl", "--at", at, "status"]) == 2
    assert capsys.readouterr().err == (
        f"{at}: a token is required at this address: name the file with --token-file\n"
    )
