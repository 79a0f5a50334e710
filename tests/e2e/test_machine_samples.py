"""The samples of samples/machines as real processes, started by `vcproxy machine`."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator

import pytest

from tests.e2e.machine_server import MachineServer
from tests.e2e.running import PATIENCE_S, VCPROXY, eventually
from tests.supervise.samples import DIRECTORY

GROUP = "232.3.2.33:32323"

SEED = """
server: Directory: DIRECTORY
server: Address: SERVER
server: < CLIENT start family/Parent :0
server: Forked: PARENT-PID
parent: started
parent: > CLIENT started family/Parent
parent: > SERVER register family/Parent PARENT-PID
parent: Parent: entered
parent: > SERVER start family/Child :0
server: < PARENT register family/Parent PARENT-PID
server: < PARENT start family/Child :0
server: Forked: CHILD-PID
child: started
child: > PARENT started family/Child
child: > SERVER register family/Child CHILD-PID
child: errored: AHHHHH
parent: < CHILD started family/Child
child: > PARENT errored family/Child AHHHHH
child: exited
child: > PARENT exited family/Child
server: < CHILD register family/Child CHILD-PID
parent: Parent: CHILD family/Child has started
child: > SERVER unregister
parent: < CHILD errored family/Child AHHHHH
parent: Parent: CHILD family/Child has errored: AHHHHH
parent: < CHILD exited family/Child
server: < CHILD unregister
parent: Parent: CHILD family/Child has exited
parent: Parent: left
""".strip().splitlines()
"""The transcript of the seed's README, line for line: who has logged what."""


@pytest.fixture(scope="module")
def server() -> Iterator[MachineServer]:
    server = MachineServer(DIRECTORY)
    yield server
    server.close()
    failed = len(re.findall("^ *RuntimeError: a child has failed", server.log, re.MULTILINE))
    assert server.log.count("Traceback (") == failed, server.log


class Follower:
    """A client that has started a machine, and prints what it reports."""

    def __init__(self, server: MachineServer, name: str, *arguments: str) -> None:
        command = [*VCPROXY, "machine", "start", "--follow", name, f"{server.host}:0", *arguments]
        self._process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )

    def finish(self) -> tuple[list[str], int]:
        """Wait for its end; return the messages that it has printed, and its exit status."""
        output, _ = self._process.communicate(timeout=2 * PATIENCE_S)
        lines = [line.split(" ", 3)[3] for line in output.splitlines() if " < " in line]
        return lines, self._process.returncode


def ask(server: MachineServer, port: int, *messages: str, replies: int = 1) -> list[str]:
    """Send messages to a machine; return its replies."""
    to = f"{server.host}:{port}"
    done = server.run("send", "-r", str(replies), to, *messages)
    assert (done.returncode, done.stderr) == (0, "")
    return [line.split(" ", 3)[3] for line in done.stdout.splitlines() if " < " in line]


def tell(server: MachineServer, port: int, *messages: str) -> None:
    """Send messages to a machine."""
    assert ask(server, port, *messages, replies=0) == []


def test_the_transcript_of_the_seed() -> None:
    server = MachineServer(DIRECTORY)
    try:
        server.start("family/Parent")
        eventually(
            lambda: "Parent: left" in server.log and server.log.count("unregister") >= 2,
            "the child has failed and ended",
        )
        logged = transcript(server.log, server.host)
    finally:
        server.close()
    assert [line for line in logged[: logged.index(SEED[-1])] if line not in SEED] == []
    for who in ("server", "parent", "child"):  # what two processes log is in no order
        own = [line for line in dict.fromkeys(logged) if line.startswith(f"{who}: ")]
        assert [line for line in own if line in SEED] == [
            line for line in SEED if line.startswith(f"{who}: ")
        ]
    for line in SEED:
        who, received, rest = line.partition(": < ")
        sender, _, text = rest.partition(" ")
        if received and sender != "CLIENT":
            sent = f"{sender.lower()}: > {who.upper()} {text}"
            assert logged.index(sent) < logged.index(line)


def transcript(log: str, host: str) -> list[str]:
    """Return the lines that the seed's README shows, as far as the end of the first child."""
    text = "\n".join(line for line in log.splitlines() if " transitioned " not in line)
    parent = find(rf"family/Parent@({host}:\d+) started", text)
    child = find(rf"family/Child@({host}:\d+) started", text)
    client = find(r"< (127\.0\.0\.1:\d+) start ", text)
    pids = re.findall(r"Forked: (\d+)", text)
    names = {
        str(DIRECTORY): "DIRECTORY",
        f"family/Parent@{parent}": "parent:",
        f"family/Child@{child}": "child:",
        f"{host}:42000": "SERVER",
        parent: "PARENT",
        child: "CHILD",
        client: "CLIENT",
        pids[0]: "PARENT-PID",
        pids[1]: "CHILD-PID",
    }
    for value, name in names.items():
        text = re.sub(rf"(?<![\w.]){re.escape(value)}(?!\w)", name, text)
    lines = [line for line in text.splitlines() if line != "ready"]
    lines = [re.sub(r"^\d{4}-\S+ \S+ [A-Z]+ ", "", line) for line in lines]
    lines = [re.sub(r"^(parent|child):: ", r"\1: ", line) for line in lines]
    return [line if re.match("(parent|child): ", line) else f"server: {line}" for line in lines]


def find(pattern: str, text: str) -> str:
    """Return the group of the first match."""
    found = re.search(pattern, text)
    assert found, f"no {pattern} in:\n{text}"
    return found[1]


def test_twins_are_started_again_each_by_its_name(server: MachineServer) -> None:
    twins = server.start("family/Twins")
    requests = [f"> {server.host}:42000 start family/Child#{name} :0" for name in ("Alice", "Bob")]
    eventually(lambda: all(server.log.count(request) >= 2 for request in requests), "both are back")
    server.run("stop", f"{server.host}:{twins}")


def test_a_strict_parent_fails_with_its_child(server: MachineServer) -> None:
    lines, status = Follower(server, "family/Strict").finish()
    assert lines == [
        "started family/Strict",
        "errored family/Strict a child has failed: family/Child AHHHHH",
        "exited family/Strict",
    ]
    assert status == 0  # the command has done its part, as in the original


@pytest.mark.parametrize("name", ["useless/Useless", "hierarchy/Empty"])
def test_a_machine_that_ends_at_once(server: MachineServer, name: str) -> None:
    assert Follower(server, name).finish() == ([f"started {name}", f"exited {name}"], 0)


def test_echo(server: MachineServer) -> None:
    port = server.start("echo/Echo")
    assert ask(server, port, "hello", "two  words", replies=2) == ["hello", "two  words"]
    assert ask(server, port, "exit") == ["exit"]


def test_forward_to_a_switch(server: MachineServer) -> None:
    switch = server.start("switch/Switch")
    forward = server.start("forward/Forward", 0, f"{server.host}:{switch}")
    tell(server, forward, "on")
    server.wait_for(rf"switched on by {server.host}:{forward}")
    tell(server, switch, "off")
    server.wait_for("transitioned from ON to OFF")


def test_fizzbuzz(server: MachineServer) -> None:
    port = server.start("fizzbuzz/FizzBuzz")
    tell(server, port, "13", "14", "15")
    server.wait_for(rf"FizzBuzz@{server.host}:{port}: FizzBuzz$")


def test_leaf(server: MachineServer) -> None:
    tell(server, server.start("hierarchy/Leaf"), "exit")
    server.wait_for("LEAF: left")


@pytest.mark.parametrize(("name", "target"), [("Simple", "LEAF1"), ("Forrest", "LEAF7")])
def test_goto(server: MachineServer, name: str, target: str) -> None:
    port = server.start(f"hierarchy/{name}")
    tell(server, port, f"goto {target}")
    server.wait_for(rf"{name}@{server.host}:{port}: {target}: entered")


def test_bigger(server: MachineServer) -> None:
    port = server.start("hierarchy/Bigger")
    assert ask(server, port, "goto LEAF2", "where") == ["CHILD1 received where in LEAF2"]


def test_publish_and_subscribe(server: MachineServer) -> None:
    publisher = server.start("pubsub/Publisher")
    server.start("pubsub/Subscriber", 0, f"{server.host}:{publisher}")
    server.wait_for(rf":{publisher} < {server.host}:\d+ subscribe")
    tell(server, publisher, "publish the news")
    server.wait_for(rf"{server.host}:{publisher} published: the news")


def test_after_ten_seconds(server: MachineServer) -> None:
    followed = [
        Follower(server, name, *arguments)
        for name, *arguments in (
            ("multicast/Receiver#1", GROUP),
            ("multicast/Receiver#2", GROUP),
            ("multicast/Multicaster", GROUP),
            ("time/After",),
        )
    ]
    for follower in followed:
        lines, status = follower.finish()
        assert [line.partition(" ")[0] for line in lines if "pulsed" not in line] == [
            "started",
            "exited",
        ]
        assert status == 0
    server.wait_for(f"has sent hello to {GROUP.partition(':')[0]}")


def test_at_the_next_minute(server: MachineServer) -> None:
    """It is started only: see tests/supervise/test_samples.py for the rest."""
    server.start("time/At")


def test_stop_watch(server: MachineServer) -> None:
    port = server.start("time/StopWatch")
    assert ask(server, port, "start", "stop") == ["elapsed 0 seconds"]


def test_ticker(server: MachineServer) -> None:
    follower = Follower(server, "time/Ticker", "0.2")
    port = int(server.wait_for(rf"time/Ticker@{server.host}:(\d+) started")[1])
    eventually(lambda: server.log.count("tick time/Ticker") >= 2, "it has ticked")
    tell(server, port, "exit")
    lines, status = follower.finish()
    assert lines[:3] == ["started time/Ticker", "tick time/Ticker", "tick time/Ticker"]
    assert (lines[-1], status) == ("exited time/Ticker", 0)


def test_a_universal_turing_machine(server: MachineServer) -> None:
    port = server.start("turing/Universal", 0, "0", "A01RB;A11LC;B01LA;B11RB;C01LB;C11NH")
    assert ask(server, port, "000000000000000") == ["111111000000000000"]
