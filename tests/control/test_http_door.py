"""The HTTP door of a proxy on a simulated network: what it lets in, and what it does with it."""

from __future__ import annotations

import json

import pytest

from tests.control.proxy_double import ProxyDouble
from vcproxy.bus.message import definitions
from vcproxy.control.http_door import HttpDoor
from vcproxy.control.questions.answer import Answer
from vcproxy.drivers.sim import Peer, Simulation
from vcproxy.engine.address import Address

UNIX = Address.parse("unix:/run/vcproxy/7.ctl.sock")
TCP = Address.parse("tcp://127.0.0.1:9100")
TOKEN = "a-token-of-32-characters-as-made"
BEARER = f"Authorization: Bearer {TOKEN}"
HERE = "Host: 127.0.0.1:9100"


class Door:
    """A proxy with an HTTP door at two addresses, and its clients."""

    def __init__(self, *, workers: bool = False) -> None:
        self.sim = Simulation(seed=7)
        self.proxy = ProxyDouble(workers=workers)
        driver = self.sim.driver("control")
        door = HttpDoor(
            self.proxy, definitions.load(), driver.engine.log, token=TOKEN, hosts=["ops.example"]
        )
        for address in (UNIX, TCP):
            driver.listen(address, door.server(driver.engine, unix=address is UNIX))
        self.sim.run()

    def send(self, address: Address, line: str, *fields: str, body: str = "") -> Peer:
        """Return a client that has sent a request."""
        client = self.sim.client(address)
        length = [f"Content-Length: {len(body)}"] if body else []
        head = "\r\n".join([f"{line} HTTP/1.1", *fields, *length, "", ""])
        client.send((head + body).encode())
        self.sim.elapse(1.0)
        return client

    def command(self, name: str, body: str = "") -> tuple[int, dict[str, object]]:
        """Send a command over the Unix socket; return the status and the answer."""
        client = self.send(UNIX, f"POST /v1/{name}", "Host: vcproxy", body=body)
        return status(client), answer(client)


def status(client: Peer) -> int:
    """Return the status of the answer."""
    return int(client.received.split(b" ")[1])


def answer(client: Peer) -> dict[str, object]:
    """Return the JSON of the answer."""
    value = json.loads(client.received.partition(b"\r\n\r\n")[2])
    assert isinstance(value, dict)
    return value


# -- who may come in -----------------------------------------------------------------------------


def test_over_a_unix_socket_no_token_is_needed() -> None:
    door = Door()
    assert door.command("STOP") == (200, {"reply": "STOPPING"})
    assert door.proxy.told == ["stop"]


def test_what_changes_something_is_logged_with_its_origin() -> None:
    door = Door()
    door.command("KILL", '{"conn": "0-17"}')
    assert door.command("LOG_ROTATE")[0] == 200
    door.send(UNIX, "GET /v1/show/listeners")
    lines = [text for _, _, text in door.sim.log if text.startswith("control: ")]
    assert [each.partition(" from ")[0] for each in lines] == [
        "control: KILL conn=0-17",
        "control: LOG_ROTATE",
    ]
    assert "control (HTTP)" in lines[1]


def test_over_tcp_the_token_is_required() -> None:
    door = Door()
    assert status(door.send(TCP, "POST /v1/STOP", HERE, BEARER)) == 200
    assert door.proxy.told == ["stop"]
    for wrong in (
        [],
        [f"Authorization: Basic {TOKEN}"],
        [f"Authorization: Bearer {TOKEN}x"],
        [f"Authorization: Bearer {TOKEN[:-1]}"],
        ["Authorization: Bearer"],
        ["Authorization: Bearer \xff"],
    ):
        client = door.send(TCP, "POST /v1/STOP", HERE, *wrong)
        assert status(client) == 401
        assert b"WWW-Authenticate: Bearer\r\n" in client.received
        assert "a token is required at this address" in str(answer(client)["error"])
    assert status(door.send(TCP, "GET /v1/help", HERE)) == 401
    assert door.proxy.told == ["stop"]


def test_without_a_token_of_its_own_nothing_is_let_in() -> None:
    sim = Simulation(seed=7)
    driver = sim.driver("control")
    driver.listen(
        TCP,
        HttpDoor(ProxyDouble(), definitions.load(), driver.engine.log).server(
            driver.engine, unix=False
        ),
    )
    client = sim.client(TCP)
    client.send(f"GET /v1/help HTTP/1.1\r\n{HERE}\r\nAuthorization: Bearer \r\n\r\n".encode())
    sim.elapse(1.0)
    assert status(client) == 401


@pytest.mark.parametrize(
    "host", ["127.0.0.1:9100", "localhost:1", "LocalHost", "[::1]:9100", "ops.example", "127.1.2.3"]
)
def test_hosts_of_this_computer(host: str) -> None:
    assert status(Door().send(TCP, "GET /v1/help", f"Host: {host}", BEARER)) == 200


@pytest.mark.parametrize(
    "host", ["evil.example", "10.0.0.1:9100", "localhost.evil.example", "127.0.0.1.evil.example"]
)
def test_a_foreign_host_is_refused_with_or_without_a_token(host: str) -> None:
    door = Door()
    for fields in ([], [BEARER]):
        client = door.send(TCP, "POST /v1/STOP", f"Host: {host}", *fields)
        assert status(client) == 403
        assert "is not this computer: see control.hosts" in str(answer(client)["error"])
    assert not door.proxy.told


@pytest.mark.parametrize(
    ("origin", "right"),
    [
        ("http://127.0.0.1:9100", True),
        ("https://127.0.0.1:9100", True),
        ("http://127.0.0.1", False),
        ("http://127.0.0.1:9101", False),
        ("http://evil.example", False),
        ("null", False),
        ("", False),
        ("file://", False),
    ],
)
def test_an_origin_must_be_the_same_site(origin: str, right: bool) -> None:
    door = Door()
    client = door.send(TCP, "POST /v1/STOP", HERE, BEARER, f"Origin: {origin}")
    assert status(client) == (200 if right else 403)
    assert door.proxy.told == (["stop"] if right else [])


def test_a_foreign_origin_is_refused_over_a_unix_socket_too() -> None:
    door = Door()
    client = door.send(UNIX, "POST /v1/STOP", "Host: vcproxy", "Origin: http://evil.example")
    assert answer(client) == {"error": 'a page of "http://evil.example" may not ask this server'}
    assert not door.proxy.told


# -- commands ------------------------------------------------------------------------------------


def test_commands_are_written_as_on_the_command_line_too() -> None:
    door = Door()
    assert door.command("log-rotate") == (200, {"reply": "LOG_ROTATED"})
    assert door.command("QUITTING")[0] == 200
    assert door.proxy.told == ["reopen log", "stop at once"]


def test_the_result_of_a_reload_is_the_status() -> None:
    door = Door()
    client = door.send(UNIX, "POST /v1/reload", "Host: vcproxy")
    assert not client.received
    door.proxy.results[0]("")
    door.sim.elapse(1.0)
    assert (status(client), answer(client)) == (200, {"reply": "RELOADED"})
    client = door.send(UNIX, "POST /v1/reload", "Host: vcproxy")
    door.proxy.results[1]("a.toml:1:1: no")
    door.sim.elapse(1.0)
    assert status(client) == 409
    assert answer(client)["error"] == "a.toml:1:1: no"


def test_a_command_that_is_refused() -> None:
    status, answer = Door().command("restart")
    assert status == 400
    assert answer["error"] == "this proxy has no workers to restart"


@pytest.mark.parametrize(
    ("name", "body", "code", "why"),
    [
        ("NOTHING", "", 404, "there is no command NOTHING: see /v1/help"),
        ("STOP", "{", 400, "the body is not JSON: "),
        ("STOP", "[]", 400, "the body must be a JSON object, as {}"),
        ("SHOW", '{"limit": "x", "question": "a"}', 400, "SHOW: "),
        ("STOP", '{"a": []}', 400, "a: must be a text or a whole number"),
        ("STOP", "[" * 60_000, 400, "the body is not JSON: "),
        ("KILL", r'{"conn": "\ud800"}', 400, "conn: is not Unicode text"),
        ("KILL", r'{"conn": "0-1", "\udc80": ""}', 400, "\udc80: is not Unicode text"),
    ],
)
def test_a_command_that_is_wrong(name: str, body: str, code: int, why: str) -> None:
    door = Door()
    status, answer = door.command(name, body)
    assert status == code
    assert str(answer["error"]).startswith(why)
    assert not door.proxy.told


# -- questions -----------------------------------------------------------------------------------


def test_a_question_is_answered_with_rows() -> None:
    door = Door()
    rows = [{"worker": 0, "id": f"n{number}", "age": 0.5} for number in range(120)]
    door.proxy.answers["conns"] = Answer(rows, ["net-1: no answer within 2s"])
    client = door.send(UNIX, "GET /v1/show/conns?limit=120", "Host: vcproxy", "Connection: close")
    assert status(client) == 200
    chunks = bytes(client.received).partition(b"\r\n\r\n")[2]
    found = json.loads(b"".join(chunks.split(b"\r\n")[1::2]))
    assert found["rows"] == rows
    assert found["missing"] == ["net-1: no answer within 2s"]
    assert found["columns"][0] == "id"
    assert found["units"]["age"] == "s"


def test_an_answer_without_rows() -> None:
    door = Door()
    door.proxy.answers["conns"] = Answer()
    client = door.send(UNIX, "GET /v1/show/conns", "Host: vcproxy")
    chunks = bytes(client.received).partition(b"\r\n\r\n")[2]
    assert json.loads(b"".join(chunks.split(b"\r\n")[1::2]))["rows"] == []


def test_a_question_that_is_refused() -> None:
    door = Door()
    client = door.send(UNIX, "GET /v1/show/nothing", "Host: vcproxy")
    assert status(client) == 404
    door.proxy.answers["conns"] = Answer(error="conns: there is no column `x`")
    client = door.send(UNIX, "GET /v1/show/conns?x=1", "Host: vcproxy")
    assert status(client) == 400
    assert answer(client) == {"error": "conns: there is no column `x`"}


def test_a_client_that_never_reads_ten_thousand_rows() -> None:
    door = Door()
    rows = [{"worker": 0, "id": f"n{number}", "state": "x" * 200} for number in range(10_000)]
    door.proxy.answers["conns"] = Answer(rows)
    client = door.sim.client(UNIX)
    client.stall()
    client.send(b"GET /v1/show/conns HTTP/1.1\r\nHost: a\r\n\r\n")
    door.sim.elapse(5.0)
    assert door.sim.drivers[0].engine.memory.used < 200 << 10
    door.sim.elapse(60.0)
    assert door.sim.drivers[0].engine.memory.used == 0


def test_help_describes_questions_and_commands() -> None:
    found = answer(Door().send(UNIX, "GET /v1/help", "Host: vcproxy"))
    questions, commands = found["questions"], found["commands"]
    assert isinstance(commands, dict)
    assert isinstance(questions, dict)
    assert commands["STOP"]["changes"]
    assert commands["STOP"]["about"].startswith("End")
    assert questions["conns"]["about"].startswith("Each open connection")
    assert "id" in questions["conns"]["columns"]
